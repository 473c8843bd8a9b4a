//! One HTTP request. Read top to bottom.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | 1 to 3 | `listener.rs`, `tunnel.rs`, `protocol.rs` | a connection of a client |
//! | 4 HTTP | `http.rs` | a request |
//! | 5 head | `head.rs` | one reading of it, or 400 |
//! | 6 token | `token.rs` | its claims, or 401 |
//! | 7 authorizers, policy | `consent.rs`, `policy.rs` | an `HttpPermit`, or 403 |
//! | 8 route | `ambit_l7::HttpTable` | a rule, or 404 |
//! | 9 CORS, limits, fault, redirect | `limits.rs`, `fault.rs`, `ambit_l7` | an answer at once, or none |
//! | 10 policy of where it leads, changes, copies | `led.rs`, `forward.rs` | the request as the backend sees it |
//! | 11 upstream | `upstream.rs` | an answer, or 50x |
//! | 12 changes | `forward.rs` | the answer as the client sees it |
//! | 13 record | `recorded.rs`, `ambit_telemetry` | one log line, one set of counters |

mod again;
mod consent;
mod fault;
mod forward;
mod head;
mod led;
mod limits;
mod recorded;
mod refusal;
mod token;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{
    Claims, Cors, ExternalAuthorizer, HttpAction, HttpPermit, HttpRule, Preflight, RateLimit, RequestView, grpc,
};
use ambit_telemetry::{Direction, Flow, Party, ResponseFlag, SecurityPolicy};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::body::Body;
use crate::connection::Connection;
use crate::external::Change;
use crate::http::Served;
use crate::in_force::{Governing, InForce};
use crate::judged::Registered;
use crate::plan::{Answer, ByteStream, Destination, Happened};
use crate::telemetry::{self, Record};
use crate::upgrade::{Downstream, Upgrade};
use crate::worker::Worker;
use again::Cut;
use forward::Says;
pub(crate) use head::Head;
use recorded::{Counted, Counts, Recorded};
use refusal::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request on its way, and all it is served with.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    /// One for the whole request.
    in_force: Arc<InForce>,
    downstream: Downstream,
    record: Record,
    /// When the answer must have ended.
    deadline: Option<Instant>,
    /// What its tokens say.
    claims: Vec<Rc<Claims>>,
    /// Who was asked, and consented.
    consented: Vec<Arc<ExternalAuthorizer>>,
    /// What they, and those who count, want the client to see with the answer.
    to_client: Vec<Change>,
    /// Limits that have counted it.
    counted: Vec<Arc<RateLimit>>,
}

/// What becomes of a request.
struct Reply {
    response: Response<Body>,
    /// Where it became a stream of bytes: the backend's side, and its place among those that are judged again.
    upgraded: Option<(Box<dyn ByteStream>, Registered)>,
}

/// Serves one request.
pub(crate) async fn serve(mut exchange: Exchange, request: Request<Incoming>) -> Response<Body> {
    let open = exchange.worker.drain.hold();
    let (parts, body) = request.into_parts();
    let version = parts.version;
    let is_grpc = exchange.observe(&parts);
    let counts = Rc::<Counts>::default();
    let body = Counted::around(body.into(), &counts, is_grpc);
    let answered = relay(&mut exchange, parts, body).await;
    let Reply { mut response, upgraded } = answered.unwrap_or_else(|refusal| {
        let facts = &mut exchange.record.facts;
        facts.details.clone_from(&refusal.details);
        facts.flags = facts.flags.union(refusal.flags);
        Reply { response: refusal.into_response(is_grpc), upgraded: None }
    });
    exchange.to_client.iter().for_each(|change| change.apply(response.headers_mut()));
    let Exchange { worker, downstream, mut record, deadline, .. } = exchange;
    record.facts.flags.remove(ResponseFlag::DownstreamConnectionTermination);
    record.facts.status = response.status().as_u16();
    record.facts.grpc_status = grpc::status(response.headers()).map(u16::from);
    if let Some(report) = &mut record.observer {
        report.response_headers.clone_from(response.headers());
    }
    match upgraded {
        Some((server, registered)) => {
            Upgrade { server, registered, record }.begin(&worker, downstream);
            as_switched(response, version)
        }
        None => response.map(|body| Recorded::around(body, record, counts, deadline, open)),
    }
}

async fn relay(exchange: &mut Exchange, parts: Parts, body: Body) -> Result<Reply, Refusal> {
    let in_force = Arc::clone(&exchange.in_force);
    let connection = Rc::clone(&exchange.connection);
    if !in_force.serves(&connection.to) {
        return Err(Refusal::no_route());
    }
    let rules = Arc::clone(in_force.rules(connection.to.service()));
    let mut head = Head::read(parts, in_force.config.path_normalization, &connection.host())?;
    exchange.introduce(&mut head);
    let client = connection.client.view();
    let governing = in_force.governing(&connection);
    let (permit, body) = judge(exchange, &governing, &mut head, body).await?;
    let matched = rules.http.decide(&head.view(&connection), &client);
    if matched.is_none() && !rules.http.rules().is_empty() {
        return Err(Refusal::no_route());
    }
    let rule = matched.map(|matched| &**matched.rule);
    exchange.record.facts.route = rule.map(route_name);
    let origin = head.parts.headers.get(header::ORIGIN).cloned();
    let cors = rule.and_then(|rule| rule.cors.as_ref());
    preflight(cors, &head.view(&connection))?;
    limits::admit(exchange, &governing, &mut head, rule.map(|rule| &rule.origin)).await?;
    let onward = match matched.as_ref().map(|matched| (&matched.rule.action, matched)) {
        None => None,
        Some((action, matched)) => {
            fault::inject(&exchange.worker, &matched.rule.fault, &mut exchange.record.facts.flags).await?;
            match action {
                HttpAction::Forward(onward) => Some(onward),
                HttpAction::Redirect(redirect) => {
                    exchange.record.facts.details = "direct_response".to_owned();
                    let location = redirect.location(&head.view(&connection), matched.path);
                    return Ok(answer(redirect.status, Bytes::new(), Some(location), matched.rule, origin.as_ref()));
                }
                HttpAction::Respond(respond) => {
                    exchange.record.facts.details = "direct_response".to_owned();
                    return Ok(answer(respond.status, respond.body.clone(), None, matched.rule, origin.as_ref()));
                }
            }
        }
    };
    // The time a delay put in on purpose took is not the backend's.
    exchange.deadline = forward::deadline(rule, &head);
    let says = Says { rule: matched.map(|matched| (&**matched.rule, matched.path)), forward: onward };
    let (answer, registered) = forward::forward(exchange, says, head, body, permit).await?;
    let Answer { mut response, upgraded, .. } = answer;
    let (upgraded, registered) = match (upgraded, registered) {
        (Some(upgraded), Some(registered)) => (Some((upgraded, registered)), None),
        (_, registered) => (None, registered),
    };
    if let Some(registered) = registered {
        response = response.map(|body| Cut::around(body, registered));
    }
    if let Some(cors) = cors {
        cors.apply(origin.as_ref(), response.headers_mut());
    }
    exchange.record.facts.details = "via_upstream".to_owned();
    Ok(Reply { response, upgraded })
}

/// Steps 6 and 7, for all whose rules have a say.
async fn judge(
    exchange: &mut Exchange,
    governing: &[Governing],
    head: &mut Head,
    mut body: Body,
) -> Result<(HttpPermit, Body), Refusal> {
    exchange.claims = token::check(&exchange.worker, governing, head).await?;
    let claims = exchange.claims.clone();
    let mut permit = None;
    for governing in governing {
        let claims = token::of(&claims, &governing.rules);
        let (given, whole) = consent::judge(exchange, governing, head, body, claims).await?;
        (permit, body) = (Some(given), whole);
    }
    permit.map(|permit| (permit, body)).ok_or_else(|| Refusal::internal("nobody_has_a_say"))
}

/// A preflight that is answered here ends here.
fn preflight(cors: Option<&Cors>, request: &RequestView<'_>) -> Result<(), Refusal> {
    match cors.map(|cors| cors.preflight(request)) {
        Some(Preflight::Answer(headers)) => {
            Err(Refusal { headers: Some(Box::new(headers)), ..Refusal::new(StatusCode::OK, "cors_preflight") })
        }
        Some(Preflight::NotOne | Preflight::Forward) | None => Ok(()),
    }
}

/// An answer of a rule's own.
fn answer(
    status: StatusCode,
    body: Bytes,
    location: Option<String>,
    rule: &HttpRule,
    origin: Option<&HeaderValue>,
) -> Reply {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    rule.response_headers.apply(headers);
    if let Some(cors) = &rule.cors {
        cors.apply(origin, headers);
    }
    Reply { response, upgraded: None }
}

/// What policies, authorizers and backends are told of every request. The client's own word counts for nothing but
/// the beginning of a list.
fn introduce(head: &mut Head, client: IpAddr) {
    let headers = &mut head.parts.headers;
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    let mut hops = Vec::new();
    for hop in headers.get_all(FORWARDED_FOR) {
        hops.extend_from_slice(hop.as_bytes());
        hops.extend_from_slice(b", ");
    }
    hops.extend_from_slice(client.to_string().as_bytes());
    if let Ok(hops) = HeaderValue::from_bytes(&hops) {
        headers.insert(FORWARDED_FOR, hops);
    }
    if !headers.contains_key(REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(uuid(rand::random()))
    {
        headers.insert(REQUEST_ID, id);
    }
}

/// A random UUID (RFC 9562 §5.4).
fn uuid(random: u128) -> String {
    let bits = random & !(0xf000 << 64 | 0xc << 60) | 0x4000 << 64 | 0x8 << 60;
    let digits = format!("{bits:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// An answer that switches protocols, in the form that the client's version has for it.
fn as_switched(mut response: Response<Body>, version: Version) -> Response<Body> {
    *response.body_mut() = Body::empty();
    if version == Version::HTTP_2 {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(header::UPGRADE);
        response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
    } else if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// How the log names a rule: as its user did, or by its object.
fn route_name(rule: &HttpRule) -> Arc<str> {
    let origin = &rule.origin;
    Arc::clone(if origin.name.is_empty() { &origin.object } else { &origin.name })
}

impl Exchange {
    /// A request that has just come on a connection.
    pub(crate) fn new(served: &Served, downstream: Downstream) -> Self {
        let (worker, connection) = (Rc::clone(&served.worker), Rc::clone(&served.connection));
        let in_force = worker.in_force();
        let mut flow = Flow::new(Direction::Waypoint);
        flow.security = SecurityPolicy::MutualTls;
        flow.source = connection.client.party();
        flow.service = connection.to.service().and_then(|service| in_force.snapshot.service(service)).cloned();
        let record = telemetry::open(&worker, &connection, &in_force, flow);
        Self {
            worker,
            connection,
            in_force,
            downstream,
            record,
            deadline: None,
            claims: Vec::new(),
            consented: Vec::new(),
            to_client: Vec::new(),
            counted: Vec::new(),
        }
    }

    /// Takes down what the log says of the request. Returns whether it is gRPC.
    fn observe(&mut self, parts: &Parts) -> bool {
        let text = |name: &HeaderName| text(&parts.headers, name);
        let is_told = self.record.is_told();
        let facts = &mut self.record.facts;
        facts.is_grpc = grpc::is_grpc(&parts.headers);
        // Until there is an answer: when a client leaves before it, the request is dropped where it is.
        facts.flags.insert(ResponseFlag::DownstreamConnectionTermination);
        facts.details = "downstream_remote_disconnect".to_owned();
        if let Some(report) = &mut self.record.observer {
            report.request_headers.clone_from(&parts.headers);
        }
        if is_told {
            facts.method = parts.method.to_string();
            facts.path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
            facts.protocol = match parts.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                _ => "HTTP/1.1",
            };
            let authority = parts.uri.authority().map(ToString::to_string);
            facts.authority = authority.or_else(|| text(&header::HOST)).unwrap_or_default();
            facts.forwarded_for = text(&FORWARDED_FOR);
            facts.user_agent = text(&header::USER_AGENT);
            facts.request_id = text(&REQUEST_ID);
            facts.asked = self.connection.target.to_string();
            facts.client = self.connection.client.address.to_string();
        }
        facts.is_grpc
    }

    /// Names the request, to its log and traces as to whoever gets it.
    fn introduce(&mut self, head: &mut Head) {
        introduce(head, self.connection.client.address.ip());
        if let Some(report) = &mut self.record.observer {
            report.trace(&mut head.parts.headers);
        }
        if self.worker.log.is_some() {
            self.record.facts.request_id = text(&head.parts.headers, &REQUEST_ID);
        }
    }

    /// Takes down where the request goes.
    fn describe(&mut self, destination: &Destination) {
        let cluster = match destination {
            Destination::Service { service, port, subset } => {
                self.record.flow.service = Some(Arc::clone(service));
                format!("outbound|{port}|{}|{}", subset.as_deref().unwrap_or_default(), service.key.hostname)
            }
            Destination::Workload { address, .. } => format!("inbound|{address}"),
        };
        self.record.facts.upstream_cluster = Some(cluster);
    }

    /// Takes down what happened on the way.
    fn tell(&mut self, happened: &Happened, took: Duration) {
        let facts = &mut self.record.facts;
        facts.flags = facts.flags.union(happened.flags);
        facts.upstream_host = happened.address.map(|address| address.to_string());
        facts.upstream_time = Some(took);
        if let Some(report) = &mut self.record.observer {
            report.went_on(took);
        }
        let identity = happened.endpoint.as_ref().map(|endpoint| endpoint.identity.clone());
        self.record.flow.destination = Party { workload: happened.endpoint.clone(), identity };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_random_uuids() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
