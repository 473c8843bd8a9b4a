//! Step 6, through the tunnel: one HTTP/2 connection over mutual TLS for each (source identity,
//! destination), from the source pod's own namespace, so that the pod's address stays on the wire.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ambit_hbone::{
    Authority, Baggage, ConnectRequest, Forwarded, OpenError, Pool, PoolError, TraceParent, TunnelStream,
};
use ambit_identity::PeerError;
use ambit_model::{CloseReason, Identity, TunnelTarget, UpstreamAddr, Workload};
use ambit_state::Route;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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

/// Plaintext that rustls may hold before it is sealed. More would only fall out of the cache between
/// being written and being sealed.
pub(crate) const TLS_BUFFER: usize = 128 << 10;

/// Connections with all of these alike share a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TunnelKey {
    /// The source pod, by namespace cookie: its address is on the wire.
    pub(crate) pod: u64,
    /// Who the tunnel says the source is.
    identity: Identity,
    /// Where it ends.
    peer: SocketAddr,
    /// Who may be there.
    expected: Box<[Identity]>,
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
    let key = TunnelKey {
        pod: accepted.pod.netns.cookie(),
        identity: source.workload.identity.clone(),
        peer: wanted.peer,
        expected: wanted.expected.into(),
    };
    let request = ConnectRequest {
        authority: Authority::Address(wanted.target),
        baggage: Some(baggage(&source.workload).header()),
        forwarded: Some(Forwarded {
            client: accepted.peer,
            host: wanted.route.service.as_ref().map(|service| service.key.hostname.to_string()),
        }),
        traceparent: Some(TraceParent::random()),
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

async fn dial(worker: &Worker, pod: &SharedPod, key: &TunnelKey) -> Result<TlsStream<TcpStream>, CloseReason> {
    let config = worker.tls.client_config(&key.identity, &key.expected).await.map_err(|error| {
        CloseReason::NoCertificate { identity: key.identity.to_string(), detail: error_chain(&error) }
    })?;
    let stream = upstream::connect(worker, pod, UpstreamAddr::new(key.peer)).await?;
    // Never sent (no SNI) and never compared: the verifier looks at the identity.
    let name = ServerName::IpAddress(key.peer.ip().into());
    let handshake = TlsConnector::from(config).connect_with(name, stream, |tls| {
        tls.set_buffer_limit(Some(TLS_BUFFER));
    });
    timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .unwrap_or_else(|elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
        .map_err(|error| CloseReason::Tls { detail: format!("{}: {}", key.peer, tls_failure(&error)) })
}

/// Why a handshake failed: the peer's certificate first, as that is what operators can mend.
pub(crate) fn tls_failure(error: &io::Error) -> String {
    PeerError::from_io(error).map_or_else(|| error_chain(error), |peer| peer.to_string())
}

/// An error with its causes, on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
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
    Baggage {
        cluster: workload.cluster.to_string(),
        namespace: workload.namespace.to_string(),
        kind: workload.kind,
        workload: workload.workload_name.to_string(),
        service: workload.canonical_name.to_string(),
        version: workload.canonical_revision.to_string(),
        ..Baggage::default()
    }
}
