//! The inbound half: tunnels that arrive at an enrolled pod, and the connections in them. Read top to
//! bottom.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | 1 accept | `listener.rs` | `Accepted` |
//! | 2 peer | `ambit_identity` | `VerifiedPeer`, proved by its certificate |
//! | 3 request | `ambit_hbone::serve` | one `IncomingConnect` a connection |
//! | 4 target | `target` below | an address of this pod, or 400 |
//! |   client | `client.rs` | whose connection it is: the peer's, or whom a waypoint names |
//! | 5 policy | `judged.rs` | a `Permit`, or 401 |
//! | 6 upstream | `upstream.rs` | a connection to the application as its client, or 503 |
//! | 7 splice | `carry.rs`, `ambit_hbone::splice` | bytes |
//! | 8 record | `ambit_telemetry` | one log line, one set of counters |
//!
//! The peer learns a status and nothing else; the log names policy and rule.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use ambit_hbone::{Authority, IncomingConnect, Progress, Settings, splice};
use ambit_identity::VerifiedPeer;
use ambit_model::{CloseReason, DenyReason, PeerAddr, TunnelTarget, UpstreamAddr, is_agent_port};
use ambit_state::Snapshot;
use ambit_telemetry::{ConnectionRecord, Direction, Party, SecurityPolicy};
use http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::carry::{carry, must_end};
use crate::client::{self, Client};
use crate::destination;
use crate::failure::{error_chain, tls_failure};
use crate::gauges::Counted;
use crate::judged::{Inbound, Subject};
use crate::listener::Accepted;
use crate::places::{Kind, Places};
use crate::pod::SharedPod;
use crate::tunnel::{HANDSHAKE_TIMEOUT, TLS_BUFFER};
use crate::upstream::{self, broken};
use crate::worker::Worker;

/// A tunnel into a pod, once its other end is known.
struct Tunnel {
    pod: SharedPod,
    places: Rc<Places>,
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
    let _place = accepted.places.take(Kind::Tunnel)?;
    let local = accepted.stream.local_addr().map_err(|error| CloseReason::Tls { detail: error.to_string() })?;
    let trust_changed = worker.tls.trust_changed();
    let stream = handshake(worker, &accepted.pod, accepted.stream.take()).await?;
    let identity =
        VerifiedPeer::of(stream.get_ref().1).map_err(|error| CloseReason::Tls { detail: error.to_string() })?;
    let _counted = Counted::new(&worker.metrics.tunnels_open);
    let _from_peer = accepted.places.take(Kind::TunnelFrom(accepted.peer.ip()))?;
    let (settings, no_more) = (Settings::server(), accepted.stop.child_token());
    let expired = worker.tls.clock().sleep_until(identity.not_after());
    let Accepted { pod, places, peer, .. } = accepted;
    let tunnel = Rc::new(Tunnel { pod, places, peer, local, identity });
    let serving = ambit_hbone::serve(stream, &settings, no_more.clone(), |request| {
        tokio::task::spawn_local(connection(Rc::clone(worker), Rc::clone(&tunnel), request));
    });
    let mut serving = pin!(serving);
    // One that came while we drain is served to the end: its peer has nowhere else to go.
    let draining = worker.drain.begun();
    let is_late = draining.is_cancelled();
    // What proved the peer's identity does so no longer: its next connections prove it anew.
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = expired => { no_more.cancel(); serving.await }
        () = trust_changed => { no_more.cancel(); serving.await }
        () = draining.cancelled(), if !is_late => { no_more.cancel(); serving.await }
    };
    match ended {
        // Once told to open no more streams a client may hang up as it likes; streams that broke say so.
        Err(error) if !no_more.is_cancelled() => Err(CloseReason::Http2 { detail: error_chain(&error) }),
        _ => Ok(()),
    }
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
    let target = target(&snapshot, request.authority(), tunnel);
    let port = target.as_ref().ok().map(|target| target.socket().port());
    let client = client::identify(worker, &snapshot, &tunnel.pod, (&tunnel.identity, tunnel.peer), (&request, port));
    describe(record, &snapshot, tunnel, client.as_ref().ok());
    let asked_for = request.forwarded().and_then(|forwarded| forwarded.host);
    record.flow.service = destination::service(&snapshot, &tunnel.pod, asked_for.as_deref(), port);

    let _place = match tunnel.places.take(Kind::Inbound) {
        Ok(place) => place,
        Err(reason) => return refuse(request, StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    let client = match client {
        Ok(client) => client,
        Err(reason) => return refuse(request, StatusCode::BAD_REQUEST, reason),
    };
    let target = match target {
        Ok(target) => target,
        Err(reason) => return refuse(request, StatusCode::BAD_REQUEST, reason),
    };
    record.addresses.tunnel_target = Some(target);

    let registered = worker.connections.register(Subject::Inbound(Inbound {
        pod: tunnel.pod.uid.clone(),
        netns: tunnel.pod.netns.cookie(),
        peer: Some(tunnel.identity.identity().clone()),
        peer_ip: tunnel.peer.ip(),
        vouched: client.vouched.map(Box::new),
        destination: target.socket(),
    }));
    destination::rehearse(worker, &registered, &snapshot);
    let permit = match registered.judge(&snapshot) {
        Ok(Some(permit)) => permit,
        Ok(None) => return refuse(request, StatusCode::SERVICE_UNAVAILABLE, CloseReason::UnknownWorkload),
        // Nobody said no: another endpoint may do better.
        Err(reason @ DenyReason::Unenrolled) => {
            return refuse(request, StatusCode::SERVICE_UNAVAILABLE, CloseReason::Denied(reason));
        }
        Err(reason) => return refuse(request, StatusCode::UNAUTHORIZED, CloseReason::Denied(reason)),
    };
    drop(snapshot);

    let upstream = UpstreamAddr::new(target.socket());
    let connecting = tokio::select! {
        biased;
        reason = must_end(worker, &registered) => Err(reason),
        connecting = upstream::connect_as(&tunnel.pod, client.address, upstream, permit) => connecting,
        () = request.given_up() => Err(CloseReason::Reset { side: "client", detail: "gave up".to_owned() }),
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

/// Puts what is known of the connection into its record.
fn describe(record: &mut ConnectionRecord, snapshot: &Snapshot, tunnel: &Tunnel, client: Option<&Client>) {
    let address = client.map_or(tunnel.peer, |client| client.address);
    let identity = client.map_or(tunnel.identity.identity(), |client| client.identity(&tunnel.identity));
    destination::describe(record, snapshot, &tunnel.pod);
    record.addresses.source = address;
    record.addresses.destination = Some(tunnel.local);
    let workload = destination::source_workload(snapshot, address, Some(identity));
    record.flow.source = Party { workload, identity: Some(identity.clone()) };
    record.flow.security = SecurityPolicy::MutualTls;
}

/// Tells the peer no more than the status.
fn refuse(request: IncomingConnect, status: StatusCode, reason: CloseReason) -> Result<(), CloseReason> {
    request.refuse(status);
    Err(reason)
}

/// Where in this pod a request wants to go: only ever into this pod, and never to the agent itself. The name of a
/// service, as clients of another network give it, is this pod if it is one of the service's.
fn target(snapshot: &Snapshot, authority: &Authority, tunnel: &Tunnel) -> Result<TunnelTarget, CloseReason> {
    let elsewhere = || CloseReason::BadRequest { detail: format!("{authority} is not an address of this pod") };
    let target = match authority {
        Authority::Address(target) if tunnel.pod.owns(target.ip()) => *target,
        Authority::Host { name, port } if tunnel.pod.owns(tunnel.local.ip()) => {
            let port = destination::port_of(snapshot, &tunnel.pod, name, *port).ok_or_else(elsewhere)?;
            TunnelTarget::new(SocketAddr::new(tunnel.local.ip(), port))
        }
        Authority::Address(_) | Authority::Host { .. } => return Err(elsewhere()),
    };
    if is_agent_port(target.port()) {
        return Err(CloseReason::AgentPort { port: target.port() });
    }
    Ok(target)
}
