//! Connections that are no HTTP: TCP, and TLS that is passed through. Read top to bottom.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | 1 to 3 | `listener.rs`, `tunnel.rs`, `protocol.rs` | a connection of a client |
//! | 4 policy, asking others | `policy.rs`, `external.rs` | leave to go on |
//! | 5 route, policy of where it leads | `ambit_l7::decide_tls`, `decide_tcp`, `judged.rs` | a backend, its place among the open connections |
//! | 6 upstream | `upstream.rs` | a stream to an endpoint |
//! | 7 bytes | `pump.rs` | bytes |
//! | 8 record | `ambit_telemetry` | one log line, one set of counters |

mod not_http;

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::TunnelStream;
use ambit_l7::sniff::unsaid;
use ambit_l7::{Backend, ConnectionView, ExternalAuthorizer, choose, decide_tcp, decide_tls};
use ambit_model::{AppProtocol, CloseReason};
use ambit_telemetry::{ConnectionRecord, Direction, Party, SecurityPolicy};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::connection::Connection;
use crate::in_force::{Governing, InForce};
use crate::judged::Registered;
use crate::plan::{Connected, Destination, Failure, FailureReason, Plan, Speak};
use crate::policy::{Bytes, Look};
use crate::pump::pump;
use crate::rewind::Rewind;
use crate::telemetry::ConnectionReport;
use crate::upstream;
use crate::worker::Worker;
use crate::{destination, external};
use not_http::NotHttp;

/// How often a long connection's bytes are added to the metrics: a scrape sees what passed before it.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// What was seen of a connection's first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// TLS, for this server.
    Tls(Option<String>),
    /// Nothing of use.
    Nothing,
}

/// Serves one connection.
pub(crate) async fn serve(worker: &Rc<Worker>, connection: Rc<Connection>, stream: Rewind<TunnelStream>, seen: Seen) {
    let mut record = worker.recorder.open(Direction::Waypoint, connection.client.address);
    let report = ConnectionReport::open(worker, &connection, view(&connection, &seen).server_name, &mut record);
    let result = relay(worker, &connection, stream, &seen, &mut record).await;
    if let Some(report) = report {
        report.close(&connection, view(&connection, &seen).server_name, &record, result.as_ref().copied());
    }
    record.close(result.as_ref().copied());
}

async fn relay(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stream: Rewind<TunnelStream>,
    seen: &Seen,
    record: &mut ConnectionRecord,
) -> Result<(), CloseReason> {
    let in_force = worker.in_force();
    describe(record, connection, &in_force);
    bytes(connection, seen).audit(&in_force);
    let consented = ask(worker, &in_force, connection, seen).await?;
    bytes(connection, seen).judge(&in_force, None, &consented).map_err(CloseReason::Denied)?;
    let backend = route(worker, &in_force, connection, seen)?;
    let (destination, policy) = destination::of(&in_force, connection, backend.as_ref())?;
    let judge = {
        let (connection, seen, destination) = (Rc::clone(connection), seen.clone(), destination.clone());
        // Who consented is not asked again.
        move |in_force: &Arc<InForce>| bytes(&connection, &seen).judge(in_force, Some(&destination), &consented)
    };
    let is_late = is_late(&in_force, connection, stream.seen(), &destination);
    // By now, and not by what was in force when the connection came: an authorizer may have been asked since.
    let registered = worker.connections.admit(&worker.in_force(), judge).map_err(CloseReason::Denied)?;
    let plan = Plan {
        in_force: &in_force,
        client: &connection.client,
        asked: connection.target.socket(),
        destination,
        policy,
        deadline: None,
        retry: None,
        speak: Speak::Http1,
    };
    let connected = tokio::select! {
        biased;
        reason = must_end(worker, &registered) => return Err(reason),
        connected = upstream::connect(worker, &plan) => connected,
    };
    let Connected { stream: server, happened } = connected.map_err(|failure| refused(failure, &plan))?;
    record.addresses.destination = happened.address;
    let identity = happened.endpoint.as_ref().map(|endpoint| endpoint.identity.clone());
    record.flow.destination = Party { workload: happened.endpoint, identity };
    drop(in_force);
    record.established();
    let bytes = record.bytes();
    let pumping = pump(NotHttp::new(stream, is_late), server, &bytes);
    carry(must_end(worker, &registered), pumping, || record.count_bytes()).await
}

/// Whether nobody knows what the connection speaks, since its client kept silent, and limits would count its requests.
fn is_late(in_force: &InForce, connection: &Connection, seen: &[u8], destination: &Destination) -> bool {
    let limits = |governing: &Governing| !governing.rules.limits.is_empty();
    connection.to.protocol() == AppProtocol::Unknown
        && unsaid(seen).is_none()
        && (in_force.governing(connection).iter().any(limits)
            || in_force.led_to(connection, destination).as_ref().is_some_and(limits))
}

fn describe(record: &mut ConnectionRecord, connection: &Connection, in_force: &InForce) {
    record.flow.security = SecurityPolicy::MutualTls;
    record.flow.source = connection.client.party();
    record.flow.service = connection.to.service().and_then(|key| in_force.snapshot.service(key)).cloned();
    record.addresses.tunnel_target = Some(connection.target);
}

/// What rules and policies see of the connection.
fn view<'a>(connection: &Connection, seen: &'a Seen) -> ConnectionView<'a> {
    let server_name = match seen {
        Seen::Tls(name) => name.as_deref(),
        Seen::Nothing => None,
    };
    let (destination_ip, port) = (connection.target.ip(), connection.target.port());
    ConnectionView { destination_ip, port, server_name }
}

/// What policies see of the connection: also later, by what is in force then.
fn bytes<'a>(connection: &'a Connection, seen: &'a Seen) -> Bytes<'a> {
    let look = if matches!(seen, Seen::Tls(_)) { Look::Tls } else { Look::Nothing };
    Bytes { connection, view: view(connection, seen), look }
}

/// Asks the external authorizers that must be asked. Those of where the connection is led to are not: without their
/// consent it is refused.
async fn ask(
    worker: &Rc<Worker>,
    in_force: &Arc<InForce>,
    connection: &Connection,
    seen: &Seen,
) -> Result<Vec<Arc<ExternalAuthorizer>>, CloseReason> {
    let mut consented = Vec::new();
    for (authorizer, refusal) in bytes(connection, seen).questions(in_force) {
        if consented.contains(&authorizer) {
            continue;
        }
        let view = view(connection, seen);
        if !Box::pin(external::ask_of_bytes(&authorizer, (worker, in_force), connection, view.server_name)).await {
            return Err(CloseReason::Denied(refusal));
        }
        consented.push(authorizer);
    }
    Ok(consented)
}

/// The backend that a rule chooses; `None` where no rule does: what was asked for.
fn route(
    worker: &Worker,
    in_force: &InForce,
    connection: &Connection,
    seen: &Seen,
) -> Result<Option<Backend>, CloseReason> {
    let rules = &in_force.rules(connection.to.service()).rules;
    let (view, client) = (view(connection, seen), connection.client.view());
    let tls = matches!(seen, Seen::Tls(_)).then(|| decide_tls(&rules.tls, &view, &client)).flatten();
    let backends = match (tls, decide_tcp(&rules.tcp, &view, &client)) {
        (Some((_, rule)), _) => &rule.backends,
        (None, Some((_, rule))) => &rule.backends,
        (None, None) => return Ok(None),
    };
    let chosen = choose(backends, |weighted| weighted.weight, destination::draw(worker));
    chosen.map(|(_, weighted)| Some(weighted.backend.clone())).ok_or_else(|| CloseReason::NoHealthyUpstream {
        service: "a rule without a backend of any weight".to_owned(),
        port: connection.target.port(),
    })
}

/// Waits until a connection, on its way or open, may not go on.
async fn must_end(worker: &Worker, registered: &Registered) -> CloseReason {
    tokio::select! {
        biased;
        reason = registered.cut() => CloseReason::PolicyChanged(reason),
        () = worker.drain.cut_off().cancelled() => CloseReason::Drained,
    }
}

/// Carries bytes to their end, unless the connection must end before: then both sides are reset.
async fn carry(
    end: impl Future<Output = CloseReason>,
    pumping: impl Future<Output = io::Result<()>>,
    mut count: impl FnMut(),
) -> Result<(), CloseReason> {
    let (mut end, mut pumping) = (pin!(end), pin!(pumping));
    let mut tick = interval_at(Instant::now() + COUNT_EVERY, COUNT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            reason = &mut end => return Err(reason),
            result = &mut pumping => {
                return result.map_err(|error| CloseReason::Reset { side: "peer", detail: error.to_string() });
            }
            _ = tick.tick() => count(),
        }
    }
}

/// A failed connection in the words of connections.
fn refused(failure: Failure, plan: &Plan<'_>) -> CloseReason {
    let port = plan.asked.port();
    match failure.reason {
        FailureReason::NoSuchDestination { destination } => CloseReason::NoSuchPort { service: destination, port },
        FailureReason::NoHealthyEndpoint { destination } => {
            CloseReason::NoHealthyUpstream { service: destination, port }
        }
        FailureReason::NoSuchName { destination, host, is_looked_up } => {
            CloseReason::NoSuchName { service: destination, host: host.to_string(), is_looked_up }
        }
        FailureReason::Aliased { destination, address, owner } => {
            CloseReason::Aliased { service: destination, address, owner: owner.to_string() }
        }
        FailureReason::Connect { endpoint, detail } => CloseReason::Connect { upstream: endpoint, detail },
        other @ (FailureReason::Overflow { .. }
        | FailureReason::Reset { .. }
        | FailureReason::Protocol { .. }
        | FailureReason::TimedOut
        | FailureReason::ClientGone) => {
            let upstream = match &plan.destination {
                Destination::Service { service, .. } => service.key.to_string(),
                Destination::Workload { address, .. } => address.to_string(),
            };
            CloseReason::Connect { upstream, detail: other.to_string() }
        }
    }
}
