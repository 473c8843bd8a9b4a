//! A mesh with one service, and servers that follow a script.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{CaOptions, CertificateAuthority, CertificateStore, StoreOptions, TlsConfigs, TrustBundle};
use ambit_l7::{Given, L7Config, Retry, RetryOn, Traffic, TrafficPolicy};
use ambit_model::{
    AppProtocol, Application, HealthPolicy, Identity, LoadBalancingMode, PeerAddr, PortMapping, Service, ServiceKey,
    ServicePort, TunnelProtocol, WaypointFailure, Workload, WorkloadKind, WorkloadUid,
};
use ambit_runtime::{Drain, Readiness};
use ambit_state::Snapshot;
use ambit_telemetry::Recorder;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use crate::body::Body;
use crate::in_force::{InForce, Own};
use crate::outlet;
use crate::plan::{Answer, Client, Destination, Failure, Plan, Speak};
use crate::upstream;
use crate::worker::{Limits, Worker, WorkerParts};

const TRUST_DOMAIN: &str = "cluster.local";

/// Runs a test as a worker runs; fails it when it hangs.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deadline = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    LocalSet::new().block_on(&runtime, deadline).expect("the test hangs")
}

/// One service of namespace `shop`, seen by a worker.
pub(super) struct Mesh {
    pub(super) worker: Rc<Worker>,
    pub(super) tls: Arc<TlsConfigs>,
    in_force: Arc<InForce>,
    service: Arc<Service>,
    pub(super) client: Client,
    pub(super) speak: Speak,
    pub(super) subset: Option<Arc<str>>,
    pub(super) retry: Option<Retry>,
    pub(super) deadline: Option<Duration>,
    _outlet: outlet::Outlet,
    _dir: TempDir,
}

pub(super) fn identity(account: &str) -> Identity {
    Identity::new(TRUST_DOMAIN, "shop", account)
}

pub(super) fn service_key() -> ServiceKey {
    ServiceKey { namespace: "shop".into(), hostname: "web.shop.svc.cluster.local".into() }
}

/// The service of the waypoint itself.
pub(super) fn waypoint_key() -> ServiceKey {
    ServiceKey { namespace: "shop".into(), hostname: "waypoint".into() }
}

/// An endpoint of the service at an address.
pub(super) fn endpoint(index: usize, address: SocketAddr, tunnel_protocol: TunnelProtocol) -> Workload {
    let port = PortMapping { service_port: 80, target_port: address.port(), app_protocol: AppProtocol::Unknown };
    Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", &format!("web-{index}")),
        addresses: [address.ip()].into_iter().collect(),
        node: "node".into(),
        locality: None,
        tunnel_protocol,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: Arc::new(Application {
            namespace: "shop".into(),
            identity: identity("web"),
            canonical_name: "web".into(),
            canonical_revision: "latest".into(),
            kind: WorkloadKind::Pod,
            workload_name: "web".into(),
            services: Arc::new([(service_key(), vec![port])].into_iter().collect()),
            authorization_policies: Arc::default(),
            waypoint: None,
            waypoint_failure: WaypointFailure::default(),
            labels: Arc::default(),
            cluster: "Kubernetes".into(),
            hostname: None,
            weight: 1,
        }),
    }
}

pub(super) fn service() -> Service {
    Service {
        key: service_key(),
        name: "web".into(),
        addresses: vec![IpAddr::from([10, 96, 0, 1])],
        ports: vec![ServicePort { port: 80, name: "".into(), app_protocol: AppProtocol::Unknown }],
        subject_alt_names: vec![],
        health_policy: HealthPolicy::OnlyHealthy,
        load_balancing: LoadBalancingMode::Unspecified,
        waypoint: None,
        canary: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: None,
    }
}

impl Mesh {
    /// Endpoints that take no tunnels, by address.
    pub(super) fn of(endpoints: &[SocketAddr], policy: TrafficPolicy) -> Self {
        Self::given(endpoints, policy, Given::default())
    }

    /// The same, with credentials.
    pub(super) fn given(endpoints: &[SocketAddr], policy: TrafficPolicy, credentials: Given) -> Self {
        let endpoints = endpoints.iter().enumerate();
        let endpoints = endpoints.map(|(at, address)| endpoint(at, *address, TunnelProtocol::None)).collect();
        Self::new(endpoints, vec![], Traffic { policy: Arc::new(policy), ..Traffic::default() }, credentials)
    }

    pub(super) fn with(endpoints: Vec<Workload>, policy: TrafficPolicy) -> Self {
        Self::used(endpoints, Traffic { policy: Arc::new(policy), ..Traffic::default() })
    }

    pub(super) fn used(endpoints: Vec<Workload>, traffic: Traffic) -> Self {
        Self::new(endpoints, vec![], traffic, Given::default())
    }

    /// Beside another service.
    pub(super) fn beside(other: Service, endpoints: Vec<Workload>) -> Self {
        Self::new(endpoints, vec![other], Traffic::default(), Given::default())
    }

    fn new(endpoints: Vec<Workload>, others: Vec<Service>, traffic: Traffic, credentials: Given) -> Self {
        let dir = TempDir::new().unwrap();
        let ca = Arc::new(CertificateAuthority::open_or_create(dir.path(), CaOptions::new(TRUST_DOMAIN)).unwrap());
        let bundle = Arc::new(TrustBundle::load(&CertificateAuthority::roots_path(dir.path())).unwrap());
        let runtime = tokio::runtime::Handle::current();
        let store = Arc::new(CertificateStore::new(ca, StoreOptions::default(), runtime));
        let tls = Arc::new(TlsConfigs::new(store, bundle, TRUST_DOMAIN));
        let service = service();
        let services = others.into_iter().chain([service.clone()]).collect();
        let snapshot = Arc::new(Snapshot::build(endpoints, services, vec![]));
        let traffic = [(service_key(), Arc::new(traffic))].into_iter().collect();
        let credentials = Arc::new(credentials);
        let config = Arc::new(L7Config { traffic, credentials, ..L7Config::default() });
        let own_service = waypoint_key();
        let (outlet, published) = outlet::channel(own_service.clone(), Readiness::default().condition("loaded"));
        outlet.publish(snapshot, config, Own { service: own_service, identity: identity("waypoint"), workload: None });
        let worker = Worker::new(WorkerParts {
            published,
            tls: Arc::clone(&tls),
            metrics: ambit_telemetry::AgentMetrics::default(),
            recorder: Recorder::new(Arc::default(), None),
            requests: Arc::default(),
            log: None,
            log_files: Arc::default(),
            drain: Drain::default(),
            limits: Limits { max_tunnels: 16, sniffing: Duration::from_secs(1) },
            groups: Arc::default(),
            keys: Arc::default(),
        });
        let client = Client {
            identity: identity("cart"),
            address: PeerAddr::new("10.0.0.9:5".parse().unwrap()),
            workload: None,
        };
        Self {
            in_force: worker.in_force(),
            worker,
            tls,
            service: Arc::new(service),
            client,
            speak: Speak::Http1,
            subset: None,
            retry: None,
            deadline: None,
            _outlet: outlet,
            _dir: dir,
        }
    }

    pub(super) fn retrying(self, attempts: u32, on: RetryOn) -> Self {
        let backoff = Some(Duration::from_millis(1));
        let retry = Retry {
            attempts,
            per_try_timeout: None,
            on,
            remote_localities: false,
            avoid_previous_hosts: true,
            backoff,
        };
        Self { retry: Some(retry), ..self }
    }

    pub(super) fn plan(&self) -> Plan<'_> {
        let service = Arc::clone(&self.service);
        Plan {
            in_force: &self.in_force,
            client: &self.client,
            asked: "10.96.0.1:80".parse().unwrap(),
            policy: self.in_force.traffic(&service.key, 80, None),
            destination: Destination::Service { service, port: 80, subset: self.subset.clone() },
            deadline: self.deadline.map(|longest| Instant::now() + longest),
            retry: self.retry.as_ref(),
            speak: self.speak,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Result<Answer, Failure> {
        Box::pin(upstream::send(&self.worker, &self.plan(), request)).await
    }

    /// Sends a request without a body; its status, flags of failure and text.
    pub(super) async fn get(&self) -> Got {
        Got::of(self.send(request(Method::GET, Body::empty())).await).await
    }
}

pub(super) fn request(method: Method, body: Body) -> Request<Body> {
    Request::builder().method(method).uri("/a").header("host", "web").body(body).unwrap()
}

/// What a client gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) status: u16,
    /// Flags of what happened and of the failure.
    pub(super) flags: String,
    pub(super) attempts: u32,
    /// The body; nothing where it broke off.
    pub(super) text: Option<String>,
}

impl Got {
    pub(super) async fn of(result: Result<Answer, Failure>) -> Self {
        match result {
            Ok(answer) => {
                let (flags, attempts) = (answer.happened.flags.to_string(), answer.happened.attempts);
                let status = answer.response.status().as_u16();
                let body = answer.response.into_body().collect().await.ok();
                let text = body.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap());
                Self { status, flags, attempts, text }
            }
            Err(failure) => {
                let mut flags = failure.happened.flags;
                flags.insert(failure.reason.flag());
                let status = failure.reason.status().as_u16();
                Self { status, flags: flags.to_string(), attempts: failure.happened.attempts, text: None }
            }
        }
    }

    pub(super) fn good(text: &str, attempts: u32) -> Self {
        Self { status: 200, flags: "-".into(), attempts, text: Some(text.into()) }
    }

    pub(super) fn failed(status: u16, flags: &str, attempts: u32) -> Self {
        Self { status, flags: flags.into(), attempts, text: None }
    }
}

/// What a scripted server does with a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    /// Answers with these bytes and goes on.
    Answer(&'static str),
    /// Answers with these bytes and hangs up.
    Last(&'static str),
    /// Hangs up.
    HangUp,
    /// Never answers.
    Wait,
}

/// An answer of 200 and `hello`.
pub(super) const HELLO: Does = Does::Answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
/// An answer of 503.
pub(super) const BUSY: Does = Does::Answer("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");

/// A server that follows a script, over all its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Connections it took.
    pub(super) connections: Rc<Cell<usize>>,
    /// Requests it read, whole.
    pub(super) requests: Rc<RefCell<Vec<String>>>,
}

impl Server {
    /// Does one thing after the other, the last of them again and again.
    pub(super) async fn of(script: &'static [Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), connections: Rc::default(), requests: Rc::default() };
        let (connections, requests, step) =
            (Rc::clone(&server.connections), Rc::clone(&server.requests), Rc::new(Cell::new(0)));
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.set(connections.get() + 1);
                spawn_local(follow(stream, script, Rc::clone(&step), Rc::clone(&requests)));
            }
        });
        server
    }
}

async fn follow(mut stream: TcpStream, script: &[Does], step: Rc<Cell<usize>>, requests: Rc<RefCell<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        requests.borrow_mut().push(request);
        let does = script[step.get().min(script.len() - 1)];
        step.set(step.get() + 1);
        match does {
            Does::Answer(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Does::Last(bytes) => return stream.write_all(bytes.as_bytes()).await.unwrap(),
            Does::HangUp => return,
            Does::Wait => std::future::pending().await,
        }
    }
}

/// A request with its body, by `content-length` or chunks.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(char::from(stream.read_u8().await.ok()?));
    }
    let length = request.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    for _ in 0..length.unwrap_or(0) {
        request.push(char::from(stream.read_u8().await.ok()?));
    }
    if request.contains("transfer-encoding: chunked") {
        while !request.ends_with("0\r\n\r\n") {
            request.push(char::from(stream.read_u8().await.ok()?));
        }
    }
    Some(request)
}

/// An address nobody listens on.
pub(super) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
