//! Steps 10 to 12: the request is changed as its rule says, goes to a backend, and the answer is changed.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{
    BackendRef, Forward, HeaderChanges, HttpPermit, HttpRule, MatchedPath, Mirror, PathNormalization, Rewrite,
    TrafficPolicy, UpgradePolicy, choose, grpc,
};
use ambit_model::AppProtocol;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use tokio::time::Instant;

use super::head::{Head, ORIGINAL_PATH, Switch};
use super::refusal::Refusal;
use super::{Exchange, led, limits};
use crate::body::Body;
use crate::destination::{self, draw, draw_of_million};
use crate::judged::Registered;
use crate::plan::{Answer, Destination, Plan, Speak};
use crate::upstream;

/// Headers between us and the backend alone (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// What a rule says of a request that goes on; nothing where there is no rule.
#[derive(Clone, Copy, Default)]
pub(crate) struct Says<'r> {
    /// The rule, and what of the path it matched.
    pub(crate) rule: Option<(&'r HttpRule, MatchedPath)>,
    /// Where it goes.
    pub(crate) forward: Option<&'r Forward>,
}

/// Sends a request on, and has its answer.
pub(crate) async fn forward(
    exchange: &mut Exchange,
    says: Says<'_>,
    mut head: Head,
    body: Body,
    _permit: HttpPermit,
) -> Result<(Answer, Option<Registered>), Refusal> {
    let chosen = says.forward.map(|forward| chosen(exchange, forward)).transpose()?;
    let backend = chosen.map(|chosen| &chosen.backend);
    let in_force = Arc::clone(&exchange.in_force);
    let (destination, policy) = destination::of(&in_force, &exchange.connection, backend)?;
    exchange.describe(&destination);
    led::admit(exchange, &mut head, &destination).await?;
    limits::admit(exchange, in_force.led_to(&exchange.connection, &destination).as_slice(), &head, None).await?;
    let mirrors = says.rule.map(|(rule, _)| &rule.mirrors[..]).unwrap_or_default();
    let mirrors = mirrors.iter().chain(chosen.map(|chosen| &chosen.mirrors[..]).unwrap_or_default());
    let copies = copies(exchange, mirrors, &head).await;
    let registered = exchange.register(&head, &body, &destination)?;
    // As it came, for an answer that turns out to be long.
    let seen = registered.is_none().then(|| head.clone());
    // The backend's alone: policies judge a long request again as they did at first.
    exchange.to_backend.iter().for_each(|change| change.apply(&mut head.parts.headers));
    let rule_rewrite = says.forward.map(|forward| &forward.rewrite);
    let rewrite = chosen.and_then(|chosen| chosen.rewrite.as_ref()).or(rule_rewrite);
    let changes = [says.rule.map(|(rule, _)| &rule.request_headers), chosen.map(|chosen| &chosen.request_headers)];
    let to_backend = says.forward.is_some_and(|forward| forward.rewrite_to_backend);
    let how = in_force.config.path_normalization;
    change((&mut head, how), &changes, rewrite, to_backend.then_some(&destination), says.rule.map(|(_, path)| path))?;

    let connection = Rc::clone(&exchange.connection);
    let plan = Plan {
        in_force: &in_force,
        client: &connection.client,
        asked: connection.target.socket(),
        speak: speak(exchange, &destination, &policy, &head),
        destination,
        policy,
        deadline: exchange.deadline,
        retry: says.rule.and_then(|(rule, _)| rule.retry.as_ref()).or(in_force.config.retry.as_deref()),
    };
    let (parts, body) = mirror(exchange, &plan, copies, head, body);
    let request = Request::from_parts(parts, body);
    let mut answer = send(exchange, &plan, request, registered.as_ref()).await?;
    let registered = match seen {
        Some(head) => exchange.register_answer(head, answer.response.body(), &plan.destination)?,
        None => registered,
    };
    let headers = answer.response.headers_mut();
    for name in HOP_BY_HOP.iter().filter(|name| answer.upgraded.is_none() || **name != header::UPGRADE) {
        headers.remove(name);
    }
    if let Some(chosen) = chosen {
        chosen.response_headers.apply(headers);
    }
    if let Some((rule, _)) = says.rule {
        rule.response_headers.apply(headers);
    }
    Ok((answer, registered))
}

/// Sends a request on, unless policy changes before there is an answer.
async fn send(
    exchange: &mut Exchange,
    plan: &Plan<'_>,
    request: Request<Body>,
    registered: Option<&Registered>,
) -> Result<Answer, Refusal> {
    let began = Instant::now();
    let answered = {
        let mut sending = pin!(upstream::send(&exchange.worker, plan, request));
        match registered {
            None => sending.await,
            Some(registered) => tokio::select! {
                biased;
                reason = registered.cut() => return Err(Refusal::denied(&reason)),
                answered = &mut sending => answered,
            },
        }
    };
    let happened = match &answered {
        Ok(answer) => &answer.happened,
        Err(failure) => &failure.happened,
    };
    exchange.tell(happened, began.elapsed());
    answered.map_err(|failure| {
        exchange.record.facts.upstream_failure = Some(failure.reason.to_string());
        Refusal::from(&failure)
    })
}

/// The backend whose lot it is.
fn chosen<'r>(exchange: &Exchange, forward: &'r Forward) -> Result<&'r BackendRef, Refusal> {
    let chosen = choose(&forward.backends, |backend| backend.weight, draw(&exchange.worker));
    chosen.map(|(_, chosen)| chosen).ok_or_else(|| Refusal::internal("no_backend_has_a_weight"))
}

/// Changes a request's headers, authority and path.
fn change(
    (head, how): (&mut Head, PathNormalization),
    changes: &[Option<&HeaderChanges>],
    rewrite: Option<&Rewrite>,
    to_backend: Option<&Destination>,
    matched: Option<MatchedPath>,
) -> Result<(), Refusal> {
    for changes in changes.iter().flatten() {
        changes.apply(&mut head.parts.headers);
        if let Some(authority) = changes.authority().and_then(|authority| authority.to_str().ok()) {
            head.set_authority(authority)?;
        }
    }
    match (rewrite.and_then(|rewrite| rewrite.authority.as_deref()), to_backend) {
        (Some(authority), _) => head.set_authority(authority)?,
        (None, Some(Destination::Service { service, .. })) => head.set_authority(&service.key.hostname)?,
        (None, _) => {}
    }
    if let (Some(path), Some(matched)) = (rewrite.and_then(|rewrite| rewrite.path.as_ref()), matched) {
        let new = path.path_and_query(matched, head.parts.uri.path(), head.parts.uri.query());
        if let Ok(original) = HeaderValue::from_str(&head.target) {
            head.parts.headers.insert(ORIGINAL_PATH, original);
        }
        head.set_path(&new, how)?;
    }
    Ok(())
}

/// What the backend is spoken to in: what is said of its port, else what the client speaks.
fn speak(exchange: &Exchange, destination: &Destination, policy: &TrafficPolicy, head: &Head) -> Speak {
    let client = if head.parts.version == Version::HTTP_2 { Speak::Http2 } else { Speak::Http1 };
    if head.switch == Switch::Upgrade || head.switch == Switch::ExtendedConnect {
        return Speak::Http1;
    }
    if policy.pool.http.use_client_protocol {
        return client;
    }
    let hint = match destination {
        Destination::Service { service, port, .. } => {
            service.ports.iter().find(|known| known.port == *port).map(|known| known.app_protocol)
        }
        Destination::Workload { .. } => Some(exchange.connection.to.protocol()),
    };
    match (hint.unwrap_or_default(), policy.pool.http.upgrade) {
        (AppProtocol::Http2 | AppProtocol::Grpc, _) | (_, UpgradePolicy::Upgrade) => Speak::Http2,
        // gRPC is nothing without HTTP/2.
        (AppProtocol::Http11, _) if !grpc::is_grpc(&head.parts.headers) => Speak::Http1,
        (AppProtocol::Http11 | AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls, _) => client,
    }
}

/// A copy that is to be sent.
struct Copied {
    to: (Destination, Arc<TrafficPolicy>),
    /// Headers with the values they have in it alone: what the rules of where it goes say of its token.
    headers: Vec<(HeaderName, Vec<HeaderValue>)>,
}

/// Headers that are otherwise than before.
fn changed(before: &HeaderMap, now: &HeaderMap) -> Vec<(HeaderName, Vec<HeaderValue>)> {
    let names = now.keys().chain(before.keys().filter(|name| !now.contains_key(*name)));
    let changed = names.filter(|name| !before.get_all(*name).iter().eq(now.get_all(*name)));
    changed.map(|name| (name.clone(), now.get_all(name).iter().cloned().collect())).collect()
}

/// Where copies go, as their lots say and policy lets them.
async fn copies<'m>(exchange: &mut Exchange, mirrors: impl Iterator<Item = &'m Mirror>, head: &Head) -> Vec<Copied> {
    let mut found = Vec::new();
    // A copy of what becomes a byte stream would be none.
    if head.switch != Switch::No {
        return found;
    }
    for mirror in mirrors {
        if !mirror.fraction.takes(draw_of_million(&exchange.worker)) {
            continue;
        }
        let Ok(to) = destination::of(&exchange.in_force, &exchange.connection, Some(&mirror.backend)) else { continue };
        // What its rules write into the request is for the copy alone.
        let mut judged = head.clone();
        if led::admit(exchange, &mut judged, &to.0).await.is_ok() {
            found.push(Copied { to, headers: changed(&head.parts.headers, &judged.parts.headers) });
        }
    }
    found
}

/// Sends copies.
fn mirror(
    exchange: &Exchange,
    plan: &Plan<'_>,
    found: Vec<Copied>,
    head: Head,
    body: Body,
) -> (http::request::Parts, Body) {
    let (body, copies) = upstream::tee(body, found.len());
    for (Copied { to: (destination, policy), headers }, copy) in found.into_iter().zip(copies) {
        let copied = Plan { destination, policy, retry: None, ..plan.clone() };
        let mut parts = head.parts.clone();
        for (name, values) in headers {
            parts.headers.remove(&name);
            for value in values {
                parts.headers.append(&name, value);
            }
        }
        upstream::mirror(&exchange.worker, &copied, Request::from_parts(parts, copy));
    }
    (head.parts, body)
}

/// When a request's answer must have ended: by its rule, or sooner as a client of gRPC says.
pub(crate) fn deadline(rule: Option<&HttpRule>, head: &Head) -> Option<Instant> {
    let rule = rule.and_then(|rule| rule.timeout);
    let client = grpc::timeout(&head.parts.headers).filter(|_| grpc::is_grpc(&head.parts.headers));
    let shortest: Option<Duration> = [rule, client].into_iter().flatten().min();
    shortest.map(|timeout| Instant::now() + timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_otherwise_is_known_by_header() {
        let headers = |all: &[(&'static str, &'static str)]| {
            let each = all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            each.collect::<HeaderMap>()
        };
        let before = headers(&[("x-same", "1"), ("x-gone", "1"), ("x-other", "1")]);
        let now = headers(&[("x-same", "1"), ("x-other", "2"), ("x-new", "1"), ("x-new", "2")]);
        let mut found = changed(&before, &now);
        found.sort_by_key(|(name, _)| name.to_string());
        let found: Vec<_> = found.iter().map(|(name, values)| format!("{name} {values:?}")).collect();
        assert_eq!(found, ["x-gone []", "x-new [\"1\", \"2\"]", "x-other [\"2\"]"]);
    }
}
