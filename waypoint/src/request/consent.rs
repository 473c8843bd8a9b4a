//! Step 7, before policy: the external authorizers that must be asked.

use std::sync::Arc;

use ambit_l7::{Claims, HttpFacts, HttpPermit, decide, to_ask};
use ambit_telemetry::ResponseFlag;
use http::StatusCode;

use super::Exchange;
use super::head::Head;
use super::refusal::Refusal;
use crate::body::Body;
use crate::external::{self, Asked, BodyRefusal, Denial};
use crate::in_force::Governing;
use crate::policy;

/// Judges a request: those who must be asked consent, and then policy allows it. Both may change its headers, and its
/// body comes back whole.
pub(crate) async fn judge(
    exchange: &mut Exchange,
    governing: &Governing,
    head: &mut Head,
    mut body: Body,
    claims: Option<&Claims>,
) -> Result<(HttpPermit, Body), Refusal> {
    let connection = std::rc::Rc::clone(&exchange.connection);
    let client = &head.client(&connection);
    let policies = &governing.rules.rules.authorization;
    {
        let facts = HttpFacts { request: &governing.seen(head.view(&connection)), client, claims };
        policy::rehearse_request(&exchange.worker, &governing.rules, &facts);
        policy::audit_request(&governing.rules, &facts);
    }
    // What one of them changes may be what another is to be asked about.
    let consented = loop {
        let to_ask = {
            let facts = HttpFacts { request: &governing.seen(head.view(&connection)), client, claims };
            to_ask(policies, &facts)
        };
        let new = to_ask.questions().iter().filter(|question| !exchange.consented.contains(question.authorizer));
        let new: Vec<_> = new.map(|question| question.authorizer).collect();
        if new.is_empty() {
            break to_ask.all_consented();
        }
        for authorizer in new {
            let asked = Asked { worker: &exchange.worker, in_force: &exchange.in_force, connection: &connection, head };
            let (verdict, whole) = Box::pin(external::ask(authorizer, asked, body)).await.map_err(unseen)?;
            body = whole;
            let consent = verdict.map_err(denied)?;
            for name in &consent.remove {
                head.parts.headers.remove(name);
            }
            consent.changes.iter().for_each(|change| change.apply(&mut head.parts.headers));
            exchange.to_client.extend(consent.to_client);
            exchange.consented.push(Arc::clone(authorizer));
        }
    };
    let facts = HttpFacts { request: &governing.seen(head.view(&connection)), client, claims };
    let decision = decide(policies, &facts, consented);
    decision.permit().map(|permit| (permit, body)).map_err(|reason| Refusal::denied(&reason))
}

fn denied(denial: Denial) -> Refusal {
    let details = if denial.is_answer { "ext_authz_denied" } else { "ext_authz_error" };
    let mut refusal = Refusal::new(denial.status, details).with_body(denial.body);
    let headers = refusal.headers.get_or_insert_default();
    denial.headers.iter().for_each(|change| change.apply(headers));
    refusal.with_flag(ResponseFlag::UnauthorizedExternalService)
}

fn unseen(refusal: BodyRefusal) -> Refusal {
    match refusal {
        BodyRefusal::TooLong => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_payload_too_large"),
        BodyRefusal::TimedOut => Refusal::new(StatusCode::REQUEST_TIMEOUT, "request_body_timeout"),
        BodyRefusal::Broken(_) => Refusal::bad_request("request_body_broken"),
    }
}
