//! The nodes' streams: what agents hold open, without the agents.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use ambit_identity::{Clock, Roots, control_plane_client_config};
use ambit_xds::{BoxError, Client, ClientOptions, Handler, Rejected, Subscription, TypeUrl, Update};
use anyhow::{Context as _, Result};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::{InterceptedService, Service};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::api::Api;
use crate::board::Board;
use crate::cluster::{SYSTEM, agent};

/// How long all streams together may take until each has everything.
const PATIENCE: Duration = Duration::from_secs(300);
/// As agents have it: the first answer is as large as the mesh.
const WINDOW: u32 = 4 << 20;

/// What it takes to be let in.
pub(crate) struct Access {
    address: String,
    tls: Arc<ClientConfig>,
    /// One a node.
    tokens: Vec<MetadataValue<Ascii>>,
}

impl Access {
    /// Has the API server make a token for each node's agent, and waits for the control plane's roots.
    pub(crate) async fn new(api: &Api, address: String, nodes: usize) -> Result<Self> {
        let mut tokens = Vec::new();
        for node in 0..nodes {
            let pod = json!({"kind": "Pod", "apiVersion": "v1", "name": agent(node)});
            let spec = json!({"audiences": ["istio-ca"], "expirationSeconds": 7200, "boundObjectRef": pod});
            let path = format!("/api/v1/namespaces/{SYSTEM}/serviceaccounts/ztunnel/token");
            let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
            let answer = api.create(&path, &request).await?;
            let token = answer.pointer("/status/token").and_then(Value::as_str).context("the answer has no token")?;
            tokens.push(format!("Bearer {token}").parse()?);
        }
        let path = format!("/api/v1/namespaces/{SYSTEM}/configmaps/istio-ca-root-cert");
        let pem = timeout(PATIENCE, async {
            loop {
                let map = api.read(&path).await.unwrap_or_default();
                if let Some(pem) = map.pointer("/data/root-cert.pem").and_then(Value::as_str) {
                    return pem.to_owned();
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        let roots = Roots::from_pem(pem.await.context("the control plane wrote no roots")?.as_bytes())?;
        Ok(Self { address, tls: control_plane_client_config(&roots, Clock::default())?, tokens })
    }

    fn channel(&self, token: &MetadataValue<Ascii>) -> Result<InterceptedService<Channel, Bearer>> {
        let uri: Uri = format!("http://{}", self.address).parse()?;
        let name = ServerName::try_from(format!("ambitd.{SYSTEM}.svc"))?;
        let connector = Connector { address: self.address.as_str().into(), name, tls: Arc::clone(&self.tls) };
        let endpoint = Endpoint::from(uri).initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        Ok(InterceptedService::new(endpoint.connect_with_connector_lazy(connector), Bearer(token.clone())))
    }
}

/// All nodes' streams, open.
pub(crate) struct Fleet {
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Opens all streams, each on a connection of its own, and waits until each has everything; also gives how
    /// many resources the one with the fewest has.
    pub(crate) async fn connect(access: &Access, board: &Arc<Board>) -> Result<(Self, usize)> {
        let mut fleet = Self { cancel: CancellationToken::new(), tasks: JoinSet::new() };
        let (complete, mut completed) = mpsc::channel(access.tokens.len().max(1));
        for token in &access.tokens {
            let types = TypeUrl::OF_AGENTS.map(|of| (of, Subscription::Wildcard)).to_vec();
            let client = Client::new(ClientOptions { types, ..ClientOptions::default() });
            let (channel, cancel) = (access.channel(token)?, fleet.cancel.clone());
            let mut stream = Stream { board: Arc::clone(board), complete: complete.clone(), held: 0, first: 0 };
            fleet.tasks.spawn(async move {
                client.run(|| std::future::ready(Ok(channel.clone())), &mut stream, &cancel).await;
            });
        }
        let fewest = timeout(PATIENCE, async {
            let mut fewest = usize::MAX;
            for _ in &access.tokens {
                fewest = fewest.min(completed.recv().await.unwrap_or_default());
            }
            fewest
        });
        let fewest = fewest.await.context("not all streams have everything")?;
        Ok((fleet, fewest))
    }

    pub(crate) async fn disconnect(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What one node hears.
struct Stream {
    board: Arc<Board>,
    complete: mpsc::Sender<usize>,
    /// Resources of the first answers.
    held: usize,
    /// First answers there were.
    first: usize,
}

impl Handler for Stream {
    fn apply(&mut self, update: Update) -> Result<(), Vec<Rejected>> {
        self.board.note(&update);
        if update.first_complete {
            self.held += update.resources.len();
            self.first += 1;
            if self.first == TypeUrl::OF_AGENTS.len() {
                // There is room for one a stream.
                self.complete.try_send(self.held).ok();
            }
        }
        Ok(())
    }
}

/// Says who asks.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Makes connections to the control plane.
#[derive(Clone)]
struct Connector {
    address: Arc<str>,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

impl Connector {
    async fn connect(self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(self.tls).connect(self.name, stream).await.map(TokioIo::new)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(connector.connect().await?) })
    }
}
