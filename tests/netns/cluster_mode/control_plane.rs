//! A control plane in the hands of a test: the discovery service and authority of the real one, with a
//! test's word for Kubernetes' and a node's name for its agent's token.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_identity::{CaOptions, CertificateAuthority, TrustBundle, serving_config};
use ambit_model::{Identity, NodePod, TunnelProtocol, Workload, WorkloadUid};
use ambit_xds::proto::certificate::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use ambit_xds::proto::certificate::{IstioCertificateRequest, IstioCertificateResponse};
use ambit_xds::proto::node::node_reports_server::{NodeReports, NodeReportsServer};
use ambit_xds::proto::node::pod_report::State;
use ambit_xds::proto::node::{PodReport, ReportSummary};
use ambit_xds::{AuthError, Authenticator, Cache, Caller, Counters, Discovery, Entry, TypeUrl, caller};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use prost_types::value::Kind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use ambit_tests::{World, until};

use crate::shop::PATIENCE;

/// The name in its certificate.
pub(crate) const NAME: &str = "ambitd.ambit-system.svc";
const PORT: u16 = 15012;

pub(crate) struct ControlPlane {
    world: PathBuf,
    netns: ambit_tests::Netns,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    // What it serves ends with it.
    runtime: Option<Runtime>,
}

struct Shared {
    cache: Arc<Cache>,
    authority: Arc<CertificateAuthority>,
    roots: String,
    workloads: Mutex<BTreeMap<WorkloadUid, Workload>>,
    reports: Mutex<Vec<PodReport>>,
}

impl ControlPlane {
    /// One on node 1 that knows of nothing yet.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let directory = world.directory();
        let state = directory.join("control-plane");
        fs::create_dir_all(&state)?;
        let authority = CertificateAuthority::open_or_create(&state, CaOptions::new("cluster.local"))?;
        let roots_path = CertificateAuthority::roots_path(&state);
        let (roots, bundle) = (fs::read_to_string(&roots_path)?, TrustBundle::load(&roots_path)?.roots());
        let cache = Arc::new(Cache::default());
        let der: Vec<Bytes> = bundle.certificates().iter().map(|root| Bytes::copy_from_slice(root)).collect();
        cache.publish(vec![Entry::trust_bundle(&der), Entry::meshed_namespace("shop")]);
        cache.synced();
        let shared = Shared {
            cache,
            authority: Arc::new(authority),
            roots,
            workloads: Mutex::default(),
            reports: Mutex::default(),
        };
        let mut control_plane = Self {
            world: directory.to_owned(),
            netns: world.node(1).netns(),
            address: SocketAddr::new(world.node(1).ip4().into(), PORT),
            shared: Arc::new(shared),
            runtime: None,
        };
        control_plane.start_again()?;
        Ok(control_plane)
    }

    /// The file of its roots.
    pub(crate) fn roots(&self) -> PathBuf {
        CertificateAuthority::roots_path(&self.world.join("control-plane"))
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.runtime = None;
    }

    /// Starts it again, with what it knew.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = self.address;
        let listener =
            until("its address to be free", PATIENCE, || self.netns.run(|| TcpListener::bind(address)).ok()?.ok())?;
        listener.set_nonblocking(true)?;
        let authority = watch::Sender::new(Arc::clone(&self.shared.authority));
        let config = serving_config(vec![NAME.to_owned()], authority.subscribe())?;
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move {
            let _authority = authority;
            serve(listener, TlsAcceptor::from(Arc::new(config)), shared).await
        });
        self.runtime = Some(runtime);
        Ok(())
    }

    /// Tells the mesh of a workload, and its node's agent of the pod.
    pub(crate) fn put(&self, workload: &Workload, pod_uid: &str, enrol: bool) {
        self.put_workload(workload);
        self.put_pod(workload, pod_uid, enrol);
    }

    /// Tells a node's agent of a pod. One that is not to be enrolled is withdrawn from the mesh at once.
    pub(crate) fn put_pod(&self, workload: &Workload, pod_uid: &str, enrol: bool) {
        let workload = Arc::new(workload.clone());
        if !enrol {
            self.shared.tunnels(&workload.uid, TunnelProtocol::None);
        }
        let pod = NodePod { workload, pod_uid: pod_uid.into(), enrol, netns: None, host_ports: [].into() };
        self.publish(Entry::pod(&pod));
    }

    /// Tells the mesh of a workload.
    pub(crate) fn put_workload(&self, workload: &Workload) {
        lock(&self.shared.workloads).insert(workload.uid.clone(), workload.clone());
        self.publish(Entry::workload(workload));
    }

    /// Takes a pod out of the mesh.
    pub(crate) fn remove(&self, workload: &Workload) {
        lock(&self.shared.workloads).remove(&workload.uid);
        self.publish(Entry::removed(TypeUrl::Pod, workload.uid.as_str()));
        self.publish(Entry::removed(TypeUrl::Address, workload.uid.as_str()));
    }

    /// Tells of anything.
    pub(crate) fn publish(&self, entry: Entry) {
        self.shared.cache.publish(vec![entry]);
    }

    /// Waits until the last report on a pod says this; gives its reason.
    pub(crate) fn wait_report(&self, pod_uid: &str, state: State) -> Result<String> {
        let last = || lock(&self.shared.reports).iter().rfind(|report| report.pod_uid == pod_uid).cloned();
        until(&format!("a report of {pod_uid}: {state:?}"), PATIENCE, || {
            last().filter(|report| report.state() == state).map(|report| report.reason)
        })
        .with_context(|| format!("the last report: {:?}", last()))
    }

    /// Forgets the reports so far.
    pub(crate) fn forget_reports(&self) {
        lock(&self.shared.reports).clear();
    }
}

impl Shared {
    /// Says to everybody how a workload is reached.
    fn tunnels(&self, uid: &WorkloadUid, protocol: TunnelProtocol) {
        let mut workloads = lock(&self.workloads);
        if let Some(workload) = workloads.get_mut(uid) {
            workload.tunnel_protocol = protocol;
            self.cache.publish(vec![Entry::workload(workload)]);
        }
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (accepted, incoming) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, accepted) = (tls.clone(), accepted.clone());
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    accepted.send(io::Result::Ok(Incoming(stream))).await.ok();
                }
            });
        }
    });
    let tokens = Arc::new(Tokens);
    Server::builder()
        .add_service(Discovery::new(Arc::clone(&shared.cache), tokens, Arc::new(Counters::default())).into_service())
        .add_service(IstioCertificateServiceServer::new(Service(Arc::clone(&shared))))
        .add_service(NodeReportsServer::new(Service(shared)))
        .serve_with_incoming(ReceiverStream::new(incoming))
        .await
        .context("serve")
}

/// Knows the agents of the nodes by their nodes' names.
struct Tokens;

impl Authenticator for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        if !token.starts_with("node-") {
            return Err(AuthError::Refused { reason: "nobody's".to_owned() });
        }
        let (namespace, service_account) = ("ambit-system".to_owned(), "ztunnel".to_owned());
        Ok(Caller { namespace, service_account, pod: None, node: Some(token.to_owned()), waypoint: None })
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        caller(&Tokens, request.metadata()).await?;
        let request = request.into_inner();
        let wanted = request.metadata.as_ref().and_then(|metadata| metadata.fields.get("ImpersonatedIdentity"));
        let Some(Kind::StringValue(wanted)) = wanted.and_then(|wanted| wanted.kind.clone()) else {
            return Err(Status::invalid_argument("for whom?"));
        };
        let identity: Identity = wanted.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        let lifetime = Duration::from_secs(request.validity_duration.try_into().unwrap_or_default());
        let chain = self.0.authority.issue_pem(&request.csr, &identity, lifetime);
        let chain = chain.map_err(|error| Status::permission_denied(error.to_string()))?;
        let cert_chain = chain.pems().chain([self.0.roots.clone()]).collect();
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

#[tonic::async_trait]
impl NodeReports for Service {
    async fn report(&self, request: Request<Streaming<PodReport>>) -> Result<Response<ReportSummary>, Status> {
        caller(&Tokens, request.metadata()).await?;
        let mut reports = request.into_inner();
        while let Some(report) = reports.message().await? {
            let uid = WorkloadUid::new(report.uid.as_str());
            match report.state() {
                State::Enrolled => self.0.tunnels(&uid, TunnelProtocol::Hbone),
                State::Released => self.0.tunnels(&uid, TunnelProtocol::None),
                State::Failed | State::Unknown => {}
            }
            lock(&self.0.reports).push(report);
        }
        Ok(Response::new(ReportSummary {}))
    }
}

/// A connection, as tonic takes one.
struct Incoming(TlsStream<TcpStream>);

impl Connected for Incoming {
    type ConnectInfo = ();
    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
