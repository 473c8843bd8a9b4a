//! A connection to one endpoint, layer by layer: a stream of a tunnel or plain TCP, a PROXY header, TLS to the
//! application, a request for another target.

use std::error::Error;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::{
    Authority, Baggage, ConnectRequest, Dialled, Forwarded, OpenError, Pool, PoolError, TraceParent, TunnelStream,
};
use ambit_identity::{PeerError, VerifiedPeer};
use ambit_l7::{Keepalive, TlsMode, TrafficPolicy};
use ambit_model::{Identity, TunnelTarget, Workload};
use ambit_state::Via;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::channel::Channel;
use super::preamble;
use super::tls::Inside;
use crate::failure::error_chain;
use crate::plan::Client;
use crate::worker::Worker;

/// Longest wait for a connection where nothing else is said, as in the field.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A tunnel is used for so long at least: one whose peer's certificate expires in this moment must not be
/// dialled again and again.
const SHORTEST_USE: Duration = Duration::from_secs(1);

/// Plaintext that rustls may hold before it is sealed: more falls out of the cache in between.
const TLS_BUFFER: usize = 128 << 10;

/// Why there is no connection, in words for operators. Shared by all who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct DialError(Rc<str>);

impl DialError {
    /// An error with its causes.
    pub(super) fn of(error: &dyn Error) -> Self {
        Self(error_chain(error).into())
    }
}

impl From<String> for DialError {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Tunnels of a worker.
pub(super) type Tunnels = Pool<TunnelKey, DialError>;

/// Connections with all of these alike share a tunnel.
#[derive(Debug, Clone)]
pub(super) struct TunnelKey {
    peer: SocketAddr,
    /// Who we are and who may be there. Compared by pointer: what was proved by an older certificate or trust
    /// bundle admits no new connection.
    tls: Arc<ClientConfig>,
}

impl PartialEq for TunnelKey {
    fn eq(&self, other: &Self) -> bool {
        self.peer == other.peer && Arc::ptr_eq(&self.tls, &other.tls)
    }
}

impl Eq for TunnelKey {}

impl Hash for TunnelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.peer, Arc::as_ptr(&self.tls)).hash(state);
    }
}

/// The connection that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Who we are.
    pub(super) own: Identity,
    /// Whose connection it is.
    pub(super) client: Client,
    /// The address the client asked for.
    pub(super) asked: SocketAddr,
    /// The service it asked for.
    pub(super) host: Option<Arc<str>>,
    /// Where to.
    pub(super) address: SocketAddr,
    /// What is there, where the mesh knows it.
    pub(super) workload: Option<Arc<Workload>>,
    /// How it is reached.
    pub(super) via: Via,
    /// What lies inside.
    pub(super) policy: Arc<TrafficPolicy>,
    /// What TLS to the application would be for.
    pub(super) server_name: Option<Arc<str>>,
    /// What is spoken inside.
    pub(super) inside: Inside,
}

/// Makes the connection.
pub(super) async fn dial(worker: &Rc<Worker>, wanted: &Wanted) -> Result<Channel, DialError> {
    let longest = wanted.policy.pool.tcp.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let layers = Box::pin(layers(worker, wanted));
    timeout(longest, layers).await.unwrap_or_else(|_elapsed| Err(format!("not connected within {longest:?}").into()))
}

async fn layers(worker: &Rc<Worker>, wanted: &Wanted) -> Result<Channel, DialError> {
    let mut channel = match &wanted.via {
        Via::Tunnel { peer, expected } => Channel::Tunnel(tunnel(worker, wanted, *peer, expected).await?),
        Via::Plain => Channel::Tcp(
            tcp(wanted.address, wanted.policy.pool.tcp.keepalive).await.map_err(|error| DialError::of(&error))?,
        ),
    };
    if let Some(version) = wanted.policy.proxy_protocol {
        let header = preamble::proxy_header(version, wanted.client.address, wanted.asked);
        channel.write_all(&header).await.map_err(|error| DialError::of(&error))?;
    }
    if wanted.policy.tls.mode != TlsMode::Disable {
        channel = tls(worker, wanted, channel).await?;
    }
    if let Some((host, port)) = &wanted.policy.connect_through {
        preamble::through(&mut channel, host, *port).await.map_err(|error| DialError::of(&error))?;
    }
    Ok(channel)
}

async fn tcp(to: SocketAddr, keepalive: Option<Keepalive>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    if let Some(asked) = keepalive {
        let mut keepalive = TcpKeepalive::new();
        if let Some(time) = asked.time {
            keepalive = keepalive.with_time(time);
        }
        if let Some(interval) = asked.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(probes) = asked.probes {
            keepalive = keepalive.with_retries(probes);
        }
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(stream)
}

async fn tunnel(
    worker: &Rc<Worker>,
    wanted: &Wanted,
    peer: SocketAddr,
    expected: &[Identity],
) -> Result<TunnelStream, DialError> {
    let tls = worker.tls.client_config(&wanted.own, expected).await.map_err(|error| DialError::of(&error))?;
    let key = TunnelKey { peer, tls };
    let request = ConnectRequest {
        baggage: wanted.client.workload.as_deref().map(|workload| baggage(workload).header()),
        forwarded: Some(Forwarded { client: wanted.client.address, host: wanted.host.as_deref().map(str::to_owned) }),
        traceparent: Some(TraceParent::random()),
        client_principal: Some(wanted.client.identity.clone()),
        ..ConnectRequest::new(Authority::Address(TunnelTarget::new(wanted.address)))
    };
    let dial = {
        let (worker, key) = (Rc::clone(worker), key.clone());
        async move || tunnel_connection(&worker, &key).await
    };
    worker.upstreams.tunnels.open(&key, &request, dial).await.map_err(|error| refused(error, peer))
}

async fn tunnel_connection(worker: &Worker, key: &TunnelKey) -> Result<Dialled<TlsStream<TcpStream>>, DialError> {
    let stream = tcp(key.peer, None).await.map_err(|error| DialError::of(&error))?;
    // Never sent (no SNI) and never compared: the verifier looks at the identity.
    let name = ServerName::IpAddress(key.peer.ip().into());
    let io = TlsConnector::from(Arc::clone(&key.tls))
        .connect_with(name, stream, |tls| tls.set_buffer_limit(Some(TLS_BUFFER)))
        .await
        .map_err(|error| {
            PeerError::from_io(&error).map_or_else(|| DialError::of(&error), |peer| peer.to_string().into())
        })?;
    let peer = VerifiedPeer::of(io.get_ref().1).map_err(|error| DialError::of(&error))?;
    let left = peer.not_after().duration_since(worker.tls.clock().now()).unwrap_or_default();
    Ok(Dialled { io, until: Some(Instant::now() + left.max(SHORTEST_USE)) })
}

fn refused(error: PoolError<DialError>, peer: SocketAddr) -> DialError {
    match error {
        PoolError::Dial(why) => why,
        PoolError::Open(OpenError::Refused { status }) => format!("{peer} answered the CONNECT with {status}").into(),
        PoolError::Open(OpenError::Tunnel(_) | OpenError::Request(_))
        | PoolError::Connect(_)
        | PoolError::NoStreams
        | PoolError::Draining => DialError::of(&error),
    }
}

async fn tls(worker: &Rc<Worker>, wanted: &Wanted, channel: Channel) -> Result<Channel, DialError> {
    let (config, name) = super::tls::configuration(worker, wanted).await.map_err(|error| DialError::of(&error))?;
    let stream = TlsConnector::from(config)
        .connect_with(name, channel, |tls| tls.set_buffer_limit(Some(TLS_BUFFER)))
        .await
        .map_err(|error| {
            PeerError::from_io(&error).map_or_else(|| DialError::of(&error), |peer| peer.to_string().into())
        })?;
    Ok(Channel::Tls(Box::new(stream)))
}

fn baggage(workload: &Workload) -> Baggage {
    Baggage {
        cluster: workload.cluster.to_string(),
        namespace: workload.namespace.to_string(),
        kind: workload.kind,
        workload: workload.workload_name().to_owned(),
        service: workload.canonical_name.to_string(),
        version: workload.canonical_revision.to_string(),
        ..Baggage::default()
    }
}
