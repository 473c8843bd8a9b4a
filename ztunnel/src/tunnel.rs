//! Step 6, through the tunnel: one HTTP/2 connection over mutual TLS for each (source identity,
//! destination), from the source pod's own namespace, so that the pod's address stays on the wire.

use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::{
    Authority, Baggage, ConnectRequest, Dialled, Forwarded, OpenError, Pool, PoolError, TraceParent, TunnelStream,
};
use ambit_identity::VerifiedPeer;
use ambit_model::{CloseReason, Identity, TunnelTarget, UpstreamAddr, Workload};
use ambit_state::Route;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::{error_chain, tls_failure};
use crate::listener::Accepted;
use crate::pod::SharedPod;
use crate::source::Source;
use crate::upstream;
use crate::worker::Worker;

/// Longest wait for a peer's TLS handshake. 10 s survives three lost flights at TCP's first timeouts
/// (1 + 2 + 4 s, RFC 6298).
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the answer to a CONNECT: the destination's node connects to the application
/// meanwhile, for at most [`upstream::CONNECT_TIMEOUT`].
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A tunnel is used for so long at least: one whose peer's certificate expires in this moment must
/// not be dialled again and again.
const SHORTEST_USE: Duration = Duration::from_secs(1);

/// Plaintext that rustls may hold before it is sealed. More would only fall out of the cache between
/// being written and being sealed.
pub(crate) const TLS_BUFFER: usize = 128 << 10;

/// Connections with all of these alike share a tunnel.
#[derive(Debug, Clone)]
pub(crate) struct TunnelKey {
    /// The source pod, by namespace cookie: its address is on the wire.
    pub(crate) pod: u64,
    /// Where it ends.
    peer: SocketAddr,
    /// Who it says the source is, and who may be there. Compared by pointer: a renewed certificate or
    /// another trust bundle is another configuration, and what was proved by the old one admits no new
    /// connection.
    tls: Arc<ClientConfig>,
}

impl PartialEq for TunnelKey {
    fn eq(&self, other: &Self) -> bool {
        self.pod == other.pod && self.peer == other.peer && Arc::ptr_eq(&self.tls, &other.tls)
    }
}

impl Eq for TunnelKey {}

impl Hash for TunnelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.pod, self.peer, Arc::as_ptr(&self.tls)).hash(state);
    }
}

/// Open tunnels of a worker.
pub(crate) type Tunnels = Pool<TunnelKey, CloseReason>;

/// The tunnel a connection needs.
pub(crate) struct Wanted<'a> {
    /// Where it ends.
    pub(crate) peer: SocketAddr,
    /// Who may be there.
    pub(crate) expected: &'a [Identity],
    /// What the connection is for.
    pub(crate) target: TunnelTarget,
    /// The route it belongs to.
    pub(crate) route: &'a Route,
}

/// Opens a stream for the connection, in a tunnel that is there or a new one.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    accepted: &Accepted,
    source: &Source,
    wanted: &Wanted<'_>,
) -> Result<TunnelStream, CloseReason> {
    let identity = &source.workload.identity;
    let tls = worker
        .tls
        .client_config(identity, wanted.expected)
        .await
        .map_err(|error| CloseReason::NoCertificate { identity: identity.to_string(), detail: error_chain(&error) })?;
    let key = TunnelKey { pod: accepted.pod.netns.cookie(), peer: wanted.peer, tls };
    let request = ConnectRequest {
        authority: Authority::Address(wanted.target),
        baggage: Some(baggage(&source.workload).header()),
        forwarded: Some(Forwarded {
            client: accepted.peer,
            host: wanted.route.service.as_ref().map(|service| service.key.hostname.to_string()),
        }),
        traceparent: Some(TraceParent::random()),
        client_principal: None,
    };
    let dial = {
        let (worker, pod, key) = (Rc::clone(worker), SharedPod::clone(&accepted.pod), key.clone());
        async move || dial(&worker, &pod, &key).await
    };
    let opened = timeout(ANSWER_TIMEOUT, worker.tunnels.open(&key, &request, dial)).await;
    opened
        .map_err(|_elapsed| CloseReason::Connect {
            upstream: wanted.target.to_string(),
            detail: format!("no answer from {} within {} s", wanted.peer, ANSWER_TIMEOUT.as_secs()),
        })?
        .map_err(|error| refused(error, wanted.peer))
}

async fn dial(worker: &Worker, pod: &SharedPod, key: &TunnelKey) -> Result<Dialled<TlsStream<TcpStream>>, CloseReason> {
    let stream = upstream::connect(worker, pod, UpstreamAddr::new(key.peer)).await?;
    // Never sent (no SNI) and never compared: the verifier looks at the identity.
    let name = ServerName::IpAddress(key.peer.ip().into());
    let handshake = TlsConnector::from(Arc::clone(&key.tls)).connect_with(name, stream, |tls| {
        tls.set_buffer_limit(Some(TLS_BUFFER));
    });
    let failed = |detail: String| CloseReason::Tls { detail: format!("{}: {detail}", key.peer) };
    let io = timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .unwrap_or_else(|elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
        .map_err(|error| failed(tls_failure(&error)))?;
    let peer = VerifiedPeer::of(io.get_ref().1).map_err(|error| failed(error.to_string()))?;
    let left = peer.not_after().duration_since(worker.tls.clock().now()).unwrap_or_default();
    Ok(Dialled { io, until: Some(Instant::now() + left.max(SHORTEST_USE)) })
}

fn refused(error: PoolError<CloseReason>, peer: SocketAddr) -> CloseReason {
    match error {
        PoolError::Dial(reason) => reason,
        PoolError::Open(OpenError::Refused { status }) => CloseReason::TunnelRefused { status },
        PoolError::Open(OpenError::Tunnel(_) | OpenError::Request(_))
        | PoolError::Connect(_)
        | PoolError::NoStreams => CloseReason::Http2 { detail: format!("{peer}: {}", error_chain(&error)) },
        PoolError::Draining => CloseReason::Drained,
    }
}

fn baggage(workload: &Workload) -> Baggage {
    let locality = workload.locality.as_deref();
    Baggage {
        cluster: workload.cluster.to_string(),
        namespace: workload.namespace.to_string(),
        kind: workload.kind,
        workload: workload.workload_name().to_owned(),
        service: workload.canonical_name.to_string(),
        version: workload.canonical_revision.to_string(),
        region: locality.map(|it| it.region.to_string()).unwrap_or_default(),
        zone: locality.map(|it| it.zone.to_string()).unwrap_or_default(),
    }
}
