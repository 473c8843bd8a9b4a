//! A client as its node's agent speaks for it: mutual TLS, CONNECT, and inside it HTTP or bytes.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_hbone::{Authority, ConnectRequest, Forwarded, Settings, Tunnel, TunnelStream};
use ambit_identity::{CaOptions, CertificateAuthority, CertificateStore, StoreOptions, TlsConfigs, TrustBundle};
use ambit_model::{Identity, PeerAddr, TunnelTarget};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{self, Runtime};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::scene::{Scene, WAYPOINT};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Pod `client` of the shop, labelled `tier: gold`.
    Client,
    /// Pod `stranger` of another namespace.
    Stranger,
}

impl As {
    fn identity(self) -> &'static str {
        match self {
            Self::Client => "spiffe://cluster.local/ns/shop/sa/client",
            Self::Stranger => "spiffe://cluster.local/ns/other/sa/stranger",
        }
    }

    fn ip(self) -> Ipv4Addr {
        match self {
            Self::Client => Ipv4Addr::new(10, 1, 0, 9),
            Self::Stranger => Ipv4Addr::new(10, 1, 0, 8),
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) took: Duration,
}

impl Answer {
    /// What the backend said it was asked; null where the answer is not a backend's.
    pub(crate) fn seen(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Which backend answered; empty where none did.
    pub(crate) fn pod(&self) -> String {
        self.seen().get("pod").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A client with a tunnel to the waypoint.
pub(crate) struct Client {
    tunnel: Tunnel,
    whose: As,
    local: LocalSet,
    runtime: Runtime,
}

impl Client {
    /// Connects.
    pub(crate) fn of(scene: &Scene, whose: As) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        let tunnel = local.block_on(&runtime, connect(scene, whose))?;
        Ok(Self { tunnel, whose, local, runtime })
    }

    /// Sends a request to a service's address, on a connection of its own.
    pub(crate) fn ask(&self, to: (Ipv4Addr, u16), request: Request<Bytes>) -> Result<Answer> {
        self.block_on(asked(self.tunnel.clone(), self.whose, to, request))
    }

    /// Begins that. It goes on as long as the client waits for anything.
    pub(crate) fn begin(&self, to: (Ipv4Addr, u16), request: Request<Bytes>) -> JoinHandle<Result<Answer>> {
        self.local.spawn_local(asked(self.tunnel.clone(), self.whose, to, request))
    }

    /// Waits until something is so, while what was begun goes on.
    pub(crate) fn until<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(found) = condition() {
                return Ok(found);
            }
            self.block_on(async { sleep(POLL).await });
        }
        bail!("{what}: not seen within {PATIENCE:?}")
    }

    /// Sends a line to a service's address and reads until `length` bytes have come, or the end.
    pub(crate) fn exchange(&self, to: (Ipv4Addr, u16), line: &[u8], length: usize) -> Result<Vec<u8>> {
        let exchange = async {
            let mut stream = self.open(to).await?;
            stream.write_all(line).await?;
            let mut read = Vec::new();
            let mut buffer = [0; 4096];
            while read.len() < length {
                match stream.read(&mut buffer).await? {
                    0 => break,
                    more => read.extend_from_slice(buffer.get(..more).unwrap_or_default()),
                }
            }
            Ok(read)
        };
        self.block_on(async { timeout(PATIENCE, exchange).await.context("no bytes")? })
    }

    /// Leads connections that a listener takes to a service's address, while the client waits for anything.
    pub(crate) fn lead(&self, listener: std::net::TcpListener, to: (Ipv4Addr, u16)) -> Result<()> {
        listener.set_nonblocking(true)?;
        let listener = self.block_on(async { tokio::net::TcpListener::from_std(listener) })?;
        let (tunnel, whose) = (self.tunnel.clone(), self.whose);
        self.local.spawn_local(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let tunnel = tunnel.clone();
                tokio::task::spawn_local(async move {
                    let mut far = open(&tunnel, whose, to).await?;
                    // How it ends is for both its ends to see.
                    tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                    anyhow::Ok(())
                });
            }
        });
        Ok(())
    }

    /// Runs something where its streams live.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.local.block_on(&self.runtime, work)
    }

    /// Opens a connection to a service's address.
    pub(crate) async fn open(&self, to: (Ipv4Addr, u16)) -> Result<TunnelStream> {
        open(&self.tunnel, self.whose, to).await
    }
}

/// A tunnel to the waypoint, on the thread of who asks.
pub(crate) async fn connect(scene: &Scene, whose: As) -> Result<Tunnel> {
    let from = SocketAddr::from((whose.ip(), 0));
    let stream = scene.netns().run(|| connect_from(from, SocketAddr::from((WAYPOINT, 15008))))??;
    let tls = configs(scene)?;
    let waypoint = "spiffe://cluster.local/ns/shop/sa/waypoint".parse()?;
    let identity: Identity = whose.identity().parse()?;
    let config = tls.client_config(&identity, &[waypoint]).await?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let stream = TlsConnector::from(config).connect(std::net::IpAddr::from(WAYPOINT).into(), stream).await?;
    Ok(ambit_hbone::connect(stream, &Settings::client()).await?)
}

/// Opens a connection to a service's address.
pub(crate) async fn open(tunnel: &Tunnel, whose: As, to: (Ipv4Addr, u16)) -> Result<TunnelStream> {
    let mut request = ConnectRequest::new(Authority::Address(TunnelTarget::new(to.into())));
    let client = PeerAddr::new(SocketAddr::from((whose.ip(), 40_000)));
    request.forwarded = Some(Forwarded { client, host: None });
    Ok(tunnel.open(&request).await?)
}

async fn asked(tunnel: Tunnel, whose: As, to: (Ipv4Addr, u16), request: Request<Bytes>) -> Result<Answer> {
    let exchange = async {
        let stream = open(&tunnel, whose, to).await?;
        let started = Instant::now();
        let response = send(stream, request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the answer's body broke off")?;
        let body = body.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body, took: started.elapsed() })
    };
    timeout(PATIENCE, exchange).await.context("no answer")?
}

/// Sends a request in its version of HTTP.
pub(crate) async fn send(stream: TunnelStream, request: Request<Bytes>) -> Result<Response<Incoming>> {
    let http2 = request.version() == Version::HTTP_2;
    let request = request.map(Full::new);
    if http2 {
        let (mut sender, connection) = http2::Builder::new(OnThisThread).handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender.send_request(request).await?)
    } else {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender.send_request(request).await?)
    }
}

/// Runs HTTP/2's tasks where their streams live.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

fn connect_from(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect(&to.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Certificates of the mesh's own authority, which a test can have of anybody.
pub(crate) fn configs(scene: &Scene) -> Result<TlsConfigs> {
    let state = scene.folder.path().join("state");
    let ca = CertificateAuthority::open_or_create(&state, CaOptions::new("cluster.local"))?;
    let bundle = TrustBundle::load(&CertificateAuthority::roots_path(&state))?;
    let store = CertificateStore::new(Arc::new(ca), StoreOptions::default(), runtime::Handle::current());
    Ok(TlsConfigs::new(Arc::new(store), Arc::new(bundle), "cluster.local"))
}
