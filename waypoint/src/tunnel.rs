//! Step 2: the tunnel. Mutual TLS with the waypoint's own identity, and each CONNECT in it becomes a connection of
//! a client, for what is bound to this waypoint and nothing else.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::{Authority, IncomingConnect, Settings};
use ambit_identity::VerifiedPeer;
use ambit_model::{CloseReason, Identity, PeerAddr, TunnelTarget};
use ambit_telemetry::Direction;
use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use rustls::CommonState;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::{self, Asked, Connection};
use crate::failure::{error_chain, tls_failure};
use crate::in_force::InForce;
use crate::plan::Client;
use crate::worker::Worker;

/// Longest wait for a peer's TLS handshake. 10 s survives three lost flights at TCP's first timeouts
/// (1 + 2 + 4 s, RFC 6298).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Plaintext that rustls may hold before it is sealed.
const TLS_BUFFER: usize = 128 << 10;

/// Serves one tunnel: all its connections, and a log line of its own only if none came about.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: PeerAddr) {
    let _open = worker.drain.hold();
    let end = tokio::select! {
        end = tunnel(&worker, stream, peer) => end,
        () = worker.drain.cut_off().cancelled() => return,
    };
    if let Err(reason) = end {
        worker.recorder.open(Direction::Waypoint, peer).close(Err(&reason));
    }
}

async fn tunnel(worker: &Rc<Worker>, stream: TcpStream, peer: PeerAddr) -> Result<(), CloseReason> {
    let _place = Place::take(worker)?;
    let trust_changed = worker.tls.trust_changed();
    let stream = handshake(worker, stream).await?;
    let proved = VerifiedPeer::of(stream.get_ref().1);
    let proved = proved.map_err(|error| CloseReason::Tls { detail: error.to_string() })?;
    let certificate = fingerprint(stream.get_ref().1);
    let (settings, no_more) = (Settings::server(), worker.drain.begun().child_token());
    let expired = worker.tls.clock().sleep_until(proved.not_after());
    let serving = ambit_hbone::serve(stream, &settings, no_more.clone(), |request| {
        admit(worker, request, (&proved, &certificate), peer);
    });
    let mut serving = pin!(serving);
    // What proved the peer's identity does so no longer: its next connections prove it anew.
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = expired => { no_more.cancel(); serving.await }
        () = trust_changed => { no_more.cancel(); serving.await }
    };
    match ended {
        // Once told to open no more streams a client may hang up as it likes; streams that broke say so.
        Err(error) if !no_more.is_cancelled() => Err(CloseReason::Http2 { detail: error_chain(&error) }),
        _ => Ok(()),
    }
}

async fn handshake(worker: &Worker, stream: TcpStream) -> Result<TlsStream<TcpStream>, CloseReason> {
    // Else small answers wait for each other's acknowledgement.
    stream.set_nodelay(true).map_err(|error| CloseReason::Tls { detail: error.to_string() })?;
    let identity = worker.in_force().own.identity.clone();
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

/// What the peer's certificate is known by, in hex.
fn fingerprint(connection: &CommonState) -> Arc<str> {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let digest = digest(&SHA256, leaf.map(|leaf| leaf.as_ref()).unwrap_or_default());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// A tunnel's place among those the worker may have.
struct Place(Rc<Worker>);

impl Place {
    fn take(worker: &Rc<Worker>) -> Result<Self, CloseReason> {
        let limit = worker.limits.max_tunnels;
        if worker.tunnels.get() >= limit {
            return Err(CloseReason::Overloaded { what: "tunnels", limit });
        }
        worker.tunnels.set(worker.tunnels.get() + 1);
        worker.metrics.tunnels_open.inc();
        Ok(Self(Rc::clone(worker)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get() - 1);
        self.0.metrics.tunnels_open.dec();
    }
}

/// Begins a connection, or refuses it. The peer learns a status and nothing else; the log says more.
fn admit(
    worker: &Rc<Worker>,
    request: IncomingConnect,
    (proved, certificate): (&VerifiedPeer, &Arc<str>),
    peer: PeerAddr,
) {
    let in_force = worker.in_force();
    let client = client(&in_force, &request, proved, peer);
    match asked(&in_force, client.identity.namespace(), request.authority()) {
        Ok((target, to)) => {
            let connection = Connection { client, target, to, certificate: Arc::clone(certificate) };
            tokio::task::spawn_local(connection::serve(Rc::clone(worker), Rc::new(connection), request));
        }
        Err((status, reason)) => {
            request.refuse(status);
            let mut record = worker.recorder.open(Direction::Waypoint, client.address);
            record.flow.source = client.party();
            record.close(Err(&reason));
        }
    }
}

/// Who asks: proved by its certificate; its agent, which holds that, says at which address.
fn client(in_force: &InForce, request: &IncomingConnect, proved: &VerifiedPeer, peer: PeerAddr) -> Client {
    let forwarded = request.forwarded().map(|forwarded| forwarded.client);
    identify(in_force, proved.identity(), forwarded, peer)
}

/// Anybody can be at a tunnel's other end, and policies go by addresses: one that cannot be a client's, or is that of
/// another identity's workload, is not believed.
fn identify(in_force: &InForce, identity: &Identity, forwarded: Option<PeerAddr>, peer: PeerAddr) -> Client {
    let at = |address: PeerAddr| in_force.snapshot.workload_by_ip(address.ip());
    let own = in_force.own.workload.as_ref().map(|own| &own.addresses[..]).unwrap_or_default();
    let is_its_own = |address: &PeerAddr| {
        is_plausible(address.ip(), own) && at(*address).is_none_or(|workload| workload.identity == *identity)
    };
    let address = forwarded.filter(is_its_own).unwrap_or(peer);
    let workload = at(address).filter(|workload| workload.identity == *identity).cloned();
    Client { identity: identity.clone(), address, workload }
}

/// Whether a client can have the address.
fn is_plausible(address: IpAddr, own: &[IpAddr]) -> bool {
    let odd = match address {
        IpAddr::V4(it) => it.is_broadcast() || it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    };
    !(odd || address.is_unspecified() || address.is_loopback() || address.is_multicast() || own.contains(&address))
}

/// What a request is for: a service or a workload bound to this waypoint. Anything else is refused, or it would be
/// a proxy for all.
fn asked(
    in_force: &InForce,
    namespace: &str,
    authority: &Authority,
) -> Result<(TunnelTarget, Asked), (StatusCode, CloseReason)> {
    let Authority::Address(target) = authority else {
        let detail = format!("{authority} is no address");
        return Err((StatusCode::BAD_REQUEST, CloseReason::BadRequest { detail }));
    };
    let not_ours = || {
        let detail = format!("{target} is not bound to this waypoint");
        (StatusCode::NOT_FOUND, CloseReason::BadRequest { detail })
    };
    // As the client's agent chose it: of several with one address, that which the namespace sees.
    if let Some(service) = in_force.snapshot.service_seen_from(namespace, target.ip()) {
        if !in_force.stands_before(service) {
            return Err(not_ours());
        }
        let port = service.ports.iter().find(|port| port.port == target.port()).ok_or_else(|| {
            let (service, port) = (service.key.to_string(), target.port());
            (StatusCode::NOT_FOUND, CloseReason::NoSuchPort { service, port })
        })?;
        return Ok((*target, Asked::Service { service: service.key.clone(), protocol: port.app_protocol }));
    }
    let workload = in_force.snapshot.workload_by_ip(target.ip()).ok_or_else(not_ours)?;
    if !in_force.is_bound(workload.waypoint.as_ref()) {
        return Err(not_ours());
    }
    Ok((*target, Asked::Workload { workload: workload.uid.clone(), protocol: hint(workload, target.port()) }))
}

/// What a workload's services say of its port, where they agree.
fn hint(workload: &ambit_model::Workload, port: u16) -> ambit_model::AppProtocol {
    let mappings = workload.services.keys().filter_map(|service| workload.services.get(service));
    let mut hints = mappings.flatten().filter(|mapping| mapping.target_port == port).map(|m| m.app_protocol);
    let first = hints.next().unwrap_or_default();
    if hints.all(|other| other == first) { first } else { ambit_model::AppProtocol::Unknown }
}
