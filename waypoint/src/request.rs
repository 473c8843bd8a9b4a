//! One HTTP request. Read top to bottom.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | 1 to 3 | `listener.rs`, `tunnel.rs`, `protocol.rs` | a connection of a client |
//! | 4 HTTP | `http.rs` | a request |
//! | 5 head | `head.rs`, `introduction.rs` | one reading of it, and who asks, or 400 |
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
mod introduction;
mod led;
mod limits;
mod recorded;
mod refusal;
mod token;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{
    Claims, Cors, ExternalAuthorizer, HttpAction, HttpPermit, HttpRule, Matched, Preflight, RateLimit, RequestView,
    grpc,
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
    /// What those who count want the backend to see.
    to_backend: Vec<Change>,
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
    exchange.introduce(&mut head)?;
    let client = head.client(&connection);
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
    let mut reply = routed(exchange, &governing, matched.as_ref(), (head, body), permit).await;
    // Refusals, too, or a page would see none of them.
    if let Some(cors) = cors {
        cors.apply(
            origin.as_ref(),
            match &mut reply {
                Ok(reply) => reply.response.headers_mut(),
                Err(refusal) => refusal.headers.get_or_insert_default(),
            },
        );
    }
    reply
}

/// Steps 9 to 12: what the rule says.
async fn routed(
    exchange: &mut Exchange,
    governing: &[Governing],
    matched: Option<&Matched<'_>>,
    (head, body): (Head, Body),
    permit: HttpPermit,
) -> Result<Reply, Refusal> {
    let rule = matched.map(|matched| &**matched.rule);
    limits::admit(exchange, governing, &head, rule.map(|rule| &rule.origin)).await?;
    let mut onward = None;
    if let Some(Matched { rule, path, .. }) = matched {
        fault::inject(&exchange.worker, &rule.fault, &mut exchange.record.facts.flags).await?;
        match &rule.action {
            HttpAction::Forward(forward) => onward = Some(forward),
            HttpAction::Redirect(redirect) => {
                exchange.record.facts.details = "direct_response".into();
                let location = redirect.location(&head.view(&exchange.connection), *path);
                return Ok(answer(redirect.status, Bytes::new(), Some(location), rule));
            }
            HttpAction::Respond(respond) => {
                exchange.record.facts.details = "direct_response".into();
                return Ok(answer(respond.status, respond.body.clone(), None, rule));
            }
        }
    }
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
    exchange.record.facts.details = "via_upstream".into();
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
fn answer(status: StatusCode, body: Bytes, location: Option<String>, rule: &HttpRule) -> Reply {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    rule.response_headers.apply(headers);
    Reply { response, upgraded: None }
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
            to_backend: Vec::new(),
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
        facts.details = "downstream_remote_disconnect".into();
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

    /// Takes down where the request goes.
    fn describe(&mut self, destination: &Destination) {
        if let Destination::Service { service, .. } = destination {
            self.record.flow.service = Some(Arc::clone(service));
        }
        if !self.record.is_told() {
            return;
        }
        let cluster = match destination {
            Destination::Service { service, port, subset } => {
                format!("outbound|{port}|{}|{}", subset.as_deref().unwrap_or_default(), service.key.hostname)
            }
            Destination::Workload { address, .. } => format!("inbound|{address}"),
        };
        self.record.facts.upstream_cluster = Some(cluster);
    }

    /// Takes down what happened on the way.
    fn tell(&mut self, happened: &Happened, took: Duration) {
        let is_told = self.record.is_told();
        let facts = &mut self.record.facts;
        facts.flags = facts.flags.union(happened.flags);
        facts.upstream_host = happened.address.filter(|_| is_told).map(|address| address.to_string());
        facts.upstream_time = Some(took);
        if let Some(report) = &mut self.record.observer {
            report.went_on(took);
        }
        let identity = happened.endpoint.as_ref().map(|endpoint| endpoint.identity.clone());
        self.record.flow.destination = Party { workload: happened.endpoint.clone(), identity };
    }
}
