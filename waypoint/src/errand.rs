//! Requests of the waypoint's own: for the keys of issuers, and to external authorizers. They go the way of all others,
//! in the waypoint's own name: through the mesh where their host is one of the mesh's services, else outside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{TlsMode, TrafficPolicy, grpc};
use ambit_model::{
    Addresses, Application, Identity, Labels, PeerAddr, Service, ServicePorts, TunnelProtocol, WaypointFailure,
    Workload, WorkloadKind, WorkloadUid,
};
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use crate::body::Body;
use crate::in_force::InForce;
use crate::plan::{Client, Destination, FailureReason, Plan, Speak};
use crate::upstream;
use crate::worker::Worker;

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) destination: Destination,
    pub(crate) policy: Arc<TrafficPolicy>,
    pub(crate) speak: Speak,
    /// Longest wait for the whole answer.
    pub(crate) timeout: Duration,
    /// Most bytes of the answer's body.
    pub(crate) max_body: usize,
}

/// An answer, all of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// The status of gRPC: in the trailers, or in the head where nothing else came.
    pub(crate) fn grpc_status(&self) -> Option<u8> {
        grpc::status(&self.trailers).or_else(|| grpc::status(&self.head.headers))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrandError {
    /// The address is none.
    #[error("{uri} is no address of a server")]
    Address {
        /// What is written.
        uri: Uri,
    },
    /// The name is nobody's.
    #[error("{host} is not known")]
    Host {
        /// Which.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// It has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// Which.
        host: String,
    },
    /// There is no head of an answer.
    #[error(transparent)]
    Failed(#[from] FailureReason),
    /// The answer's body broke off.
    #[error("the answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer's body is too long.
    #[error("the answer is longer than {max} bytes")]
    TooLong {
        /// Most bytes.
        max: usize,
    },
    /// Not in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Errand {
    /// Sends a request, and has the whole answer.
    pub(crate) async fn run(
        &self,
        worker: &Rc<Worker>,
        in_force: &Arc<InForce>,
        request: Request<Body>,
    ) -> Result<Answer, ErrandError> {
        let running = Box::pin(self.send(worker, in_force, request));
        timeout(self.timeout, running).await.unwrap_or(Err(ErrandError::TimedOut(self.timeout)))
    }

    async fn send(
        &self,
        worker: &Rc<Worker>,
        in_force: &Arc<InForce>,
        request: Request<Body>,
    ) -> Result<Answer, ErrandError> {
        let client = myself(in_force);
        let plan = Plan {
            in_force,
            client: &client,
            asked: asked(&self.destination),
            destination: self.destination.clone(),
            policy: Arc::clone(&self.policy),
            deadline: Some(Instant::now() + self.timeout),
            retry: None,
            speak: self.speak,
        };
        let answer = upstream::send(worker, &plan, request).await.map_err(|failure| failure.reason)?;
        let (head, body) = answer.response.into_parts();
        let max = self.max_body;
        let body = Limited::new(body, max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { ErrandError::TooLong { max } } else { ErrandError::Broken(error) }
        })?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Answer { head, body: body.to_bytes(), trailers })
    }
}

/// The waypoint as a client.
fn myself(in_force: &InForce) -> Client {
    let own = &in_force.own;
    let ip = own.workload.as_ref().and_then(|workload| workload.addresses.first().copied());
    let address = PeerAddr::new(SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0));
    Client { identity: own.identity.clone(), address, workload: own.workload.clone() }
}

/// The address that a client would have asked for.
fn asked(destination: &Destination) -> SocketAddr {
    match destination {
        Destination::Workload { address, .. } => *address,
        Destination::Service { service, port, .. } => {
            let vip = service.addresses.first().copied();
            SocketAddr::new(vip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), *port)
        }
    }
}

/// Where `http://…` and `https://…` lead to. `tls` is what is spoken outside of the mesh where the address wants TLS;
/// in the mesh it is spoken inside of the tunnel, where nothing else is said of the service.
pub(crate) async fn destination(
    in_force: &InForce,
    uri: &Uri,
    tls: &Arc<TrafficPolicy>,
) -> Result<(Destination, Arc<TrafficPolicy>), ErrandError> {
    let is_tls = uri.scheme_str() == Some("https");
    let host = uri.host().ok_or_else(|| ErrandError::Address { uri: uri.clone() })?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    if let Some(service) = service(in_force, host, port) {
        let policy = in_force.traffic(&service.key, port, None);
        let policy = if is_tls && policy.tls.mode == TlsMode::Disable {
            Arc::new(TrafficPolicy { tls: tls.tls.clone(), ..(*policy).clone() })
        } else {
            policy
        };
        return Ok((Destination::Service { service: Arc::clone(service), port, subset: None }, policy));
    }
    let found = lookup_host((host, port)).await;
    let mut found = found.map_err(|source| ErrandError::Host { host: host.to_owned(), source })?;
    let address = found.next().ok_or_else(|| ErrandError::NoAddress { host: host.to_owned() })?;
    let policy = if is_tls { Arc::clone(tls) } else { Arc::default() };
    Ok((Destination::Workload { workload: Arc::new(nobody(address.ip())), address }, policy))
}

/// The mesh's service of this name; the name may lack the cluster's domain, as in a pod.
fn service<'a>(in_force: &'a InForce, host: &str, port: u16) -> Option<&'a Arc<Service>> {
    let is_named = |hostname: &str| match hostname.strip_prefix(host) {
        Some("") => true,
        Some(domain) => domain.starts_with(".svc.") || domain.starts_with('.') && host.ends_with(".svc"),
        None => false,
    };
    let services = in_force.snapshot.services();
    let mut services = services.filter(|service| service.ports.iter().any(|known| known.port == port));
    services.find(|service| is_named(&service.key.hostname))
}

/// What is at an address of which the mesh knows nothing: it takes no tunnels.
fn nobody(ip: IpAddr) -> Workload {
    let application = Application {
        namespace: "".into(),
        identity: Identity::new("", "", ""),
        canonical_name: "".into(),
        canonical_revision: "".into(),
        kind: WorkloadKind::Pod,
        workload_name: "".into(),
        services: Arc::<ServicePorts>::default(),
        authorization_policies: Arc::new([]),
        waypoint: None,
        waypoint_failure: WaypointFailure::default(),
        labels: Arc::<Labels>::default(),
        cluster: "".into(),
        hostname: None,
        weight: 1,
    };
    Workload {
        uid: WorkloadUid::new(""),
        addresses: Addresses::from_iter([ip]),
        node: "".into(),
        locality: None,
        tunnel_protocol: TunnelProtocol::None,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: Arc::new(application),
    }
}
