//! The inbound half: tunnels that arrive at an enrolled pod, and the connections in them. Read top to
//! bottom.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | 1 accept | `listener.rs` | `Accepted` |
//! | 2 peer | `ambit_identity` | `VerifiedPeer`, proved by its certificate |
//! | 3 request | `ambit_hbone::serve` | one `IncomingConnect` a connection |
//! | 4 target | `target` below | an address of this pod, or 400 |
//! | 5 policy | `judged.rs` | a `Permit`, or 401 |
//! | 6 upstream | `upstream.rs` | a connection to the application as its client, or 503 |
//! | 7 splice | `carry.rs`, `ambit_hbone::splice` | bytes |
//! | 8 record | `ambit_telemetry` | one log line, one set of counters |
//!
//! The peer learns a status and nothing else; the log names policy and rule.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ambit_hbone::{Authority, IncomingConnect, Progress, Settings, splice};
use ambit_identity::VerifiedPeer;
use ambit_model::{CloseReason, PeerAddr, Service, TunnelTarget, UpstreamAddr, is_agent_port};
use ambit_state::Snapshot;
use ambit_telemetry::{ConnectionRecord, Direction, Party, SecurityPolicy};
use http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::carry::carry;
use crate::destination;
use crate::gauges::Counted;
use crate::judged::Subject;
use crate::listener::Accepted;
use crate::pod::{Pod, SharedPod};
use crate::tunnel::{HANDSHAKE_TIMEOUT, TLS_BUFFER, error_chain, tls_failure};
use crate::upstream::{self, broken};
use crate::worker::Worker;

/// A tunnel into a pod, once its other end is known.
struct Tunnel {
    pod: SharedPod,
    peer: PeerAddr,
    /// Where it was accepted: the pod's port 15008.
    local: SocketAddr,
    identity: VerifiedPeer,
}

/// Serves one tunnel: all its connections, and a log line of its own only if none came about.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let _open = worker.drain.hold();
    let peer = accepted.peer;
    let pod = SharedPod::clone(&accepted.pod);
    let end = tokio::select! {
        end = tunnel(&worker, accepted) => end,
        () = worker.drain.cut_off().cancelled() => return,
    };
    if let Err(reason) = end {
        let mut record = worker.recorder.open(Direction::Inbound, peer);
        destination::describe(&mut record, &worker.snapshot(), &pod);
        record.close(Err(&reason));
    }
}

async fn tunnel(worker: &Rc<Worker>, accepted: Accepted) -> Result<(), CloseReason> {
    let limit = worker.max_connections_per_pod;
    let _place = accepted.place.as_ref().ok_or(CloseReason::Overloaded { limit })?;
    let local = accepted.stream.local_addr().map_err(|error| CloseReason::Tls { detail: error.to_string() })?;
    let stream = handshake(worker, &accepted.pod, accepted.stream.take()).await?;
    let identity =
        VerifiedPeer::of(stream.get_ref().1).map_err(|error| CloseReason::Tls { detail: error.to_string() })?;
    let _counted = Counted::new(&worker.metrics.tunnels_open);
    let tunnel = Rc::new(Tunnel { pod: accepted.pod, peer: accepted.peer, local, identity });
    let settings = Settings::server();
    let ended = ambit_hbone::serve(stream, &settings, accepted.stop, |request| {
        tokio::task::spawn_local(connection(Rc::clone(worker), Rc::clone(&tunnel), request));
    });
    ended.await.map_err(|error| CloseReason::Http2 { detail: error_chain(&error) })
}

async fn handshake(worker: &Worker, pod: &SharedPod, stream: TcpStream) -> Result<TlsStream<TcpStream>, CloseReason> {
    let identity = worker.snapshot().workload(&pod.uid).ok_or(CloseReason::UnknownWorkload)?.identity.clone();
    let config = worker
        .tls
        .server_config(&identity)
        .await
        .map_err(|error| CloseReason::NoCertificate { identity: identity.to_string(), detail: error_chain(&error) })?;
    let accept = TlsAcceptor::from(config).accept_with(stream, |tls| tls.set_buffer_limit(Some(TLS_BUFFER)));
    timeout(HANDSHAKE_TIMEOUT, accept)
        .await
        .unwrap_or_else(|elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
        .map_err(|error| CloseReason::Tls { detail: tls_failure(&error) })
}

/// Serves one connection of a tunnel.
async fn connection(worker: Rc<Worker>, tunnel: Rc<Tunnel>, request: IncomingConnect) {
    let _open = (worker.drain.hold(), Counted::new(&worker.metrics.streams_open));
    let mut record = worker.recorder.open(Direction::Inbound, tunnel.peer);
    let result = relay(&worker, &tunnel, request, &mut record).await;
    record.close(result.as_ref().copied());
}

async fn relay(
    worker: &Rc<Worker>,
    tunnel: &Tunnel,
    mut request: IncomingConnect,
    record: &mut ConnectionRecord,
) -> Result<(), CloseReason> {
    let snapshot = worker.snapshot();
    record.flow.security = SecurityPolicy::MutualTls;
    record.flow.source = Party {
        workload: destination::source_workload(&snapshot, tunnel.peer, Some(tunnel.identity.identity())),
        identity: Some(tunnel.identity.identity().clone()),
    };
    destination::describe(record, &snapshot, &tunnel.pod);
    record.addresses.destination = Some(tunnel.local);
    record.flow.service = service_asked_for(&request, &snapshot, &tunnel.pod);

    let target = match target(request.authority(), tunnel) {
        Ok(target) => target,
        Err(reason) => return refuse(request, StatusCode::BAD_REQUEST, reason),
    };
    record.addresses.tunnel_target = Some(target);

    let registered = worker.connections.register(Subject::Inbound {
        pod: tunnel.pod.uid.clone(),
        netns: tunnel.pod.netns.cookie(),
        source: Some(tunnel.identity.identity().clone()),
        source_ip: tunnel.peer.ip(),
        destination: target.socket(),
    });
    destination::rehearse(&registered, &snapshot);
    let permit = match registered.judge(&snapshot) {
        Ok(Some(permit)) => permit,
        Ok(None) => return refuse(request, StatusCode::UNAUTHORIZED, CloseReason::UnknownWorkload),
        Err(reason) => return refuse(request, StatusCode::UNAUTHORIZED, CloseReason::Denied(reason)),
    };
    drop(snapshot);

    let upstream = UpstreamAddr::new(target.socket());
    let connecting = tokio::select! {
        connecting = upstream::connect_as(&tunnel.pod, tunnel.peer, upstream, permit) => connecting,
        () = request.given_up() => Err(CloseReason::Reset { side: "client", detail: "gave up".to_owned() }),
        reason = registered.cut() => Err(CloseReason::PolicyChanged(reason)),
    };
    let application = match connecting {
        Ok(application) => application,
        Err(reason) => return refuse(request, StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    let stream =
        request.accept().map_err(|error| CloseReason::Reset { side: "client", detail: error_chain(&error) })?;
    record.established();
    let bytes = record.bytes();
    // Seen from the application's TCP connection the directions are the other way round.
    let progress = Progress { sent: &bytes.received, received: &bytes.sent };
    let splice = async { splice(application, stream, &progress).await.map_err(|error| broken(&error, "server")) };
    carry(worker, &registered, record, splice).await
}

/// The service the client says it asked for, for logs and metrics only: if it is one of this pod's.
fn service_asked_for(request: &IncomingConnect, snapshot: &Snapshot, pod: &Pod) -> Option<Arc<Service>> {
    let host = request.forwarded()?.host?;
    let key = snapshot.workload(&pod.uid)?.services.keys().find(|key| *key.hostname == *host)?;
    snapshot.service(key).cloned()
}

/// Tells the peer no more than the status.
fn refuse(request: IncomingConnect, status: StatusCode, reason: CloseReason) -> Result<(), CloseReason> {
    request.refuse(status);
    Err(reason)
}

/// Where in this pod a request wants to go: only ever into this pod, and never to the agent itself.
fn target(authority: &Authority, tunnel: &Tunnel) -> Result<TunnelTarget, CloseReason> {
    let bad = |detail: String| CloseReason::BadRequest { detail };
    let Authority::Address(target) = authority else {
        return Err(bad(format!("{authority} is not an address of this pod")));
    };
    if !tunnel.pod.owns(target.ip()) {
        return Err(bad(format!("{target} is not an address of this pod")));
    }
    if is_agent_port(target.port()) {
        return Err(CloseReason::AgentPort { port: target.port() });
    }
    Ok(*target)
}
