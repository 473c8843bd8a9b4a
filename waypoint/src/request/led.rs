//! Step 10, before changes: a rule may lead to another service that is bound to this waypoint. Its policies have a
//! say as well, about the request as it came.

use std::rc::Rc;

use ambit_l7::{Claims, HttpFacts};
use ambit_model::DenyReason;

use super::head::Head;
use super::refusal::Refusal;
use super::{Exchange, token};
use crate::connection::Connection;
use crate::in_force::InForce;
use crate::plan::Destination;
use crate::policy;

/// Lets a request be led to a destination.
pub(crate) async fn admit(exchange: &mut Exchange, head: &mut Head, to: &Destination) -> Result<(), Refusal> {
    let Some(led) = exchange.in_force.led_to(&exchange.connection, to) else { return Ok(()) };
    token::check_led(&exchange.worker, &led.rules, &mut exchange.claims, head).await?;
    judge(&exchange.in_force, &exchange.connection, to, (head, &exchange.claims))
        .map_err(|reason| Refusal::denied(&reason))
}

/// Judges a request by the rules of where it is led to. External authorizers of that service have not been asked, so
/// they have not consented.
pub(crate) fn judge(
    in_force: &InForce,
    connection: &Connection,
    to: &Destination,
    (head, claims): (&Head, &[Rc<Claims>]),
) -> Result<(), DenyReason> {
    let Some(led) = in_force.led_to(connection, to) else { return Ok(()) };
    let request = &led.seen(head.view(connection));
    let facts = HttpFacts { request, client: &head.client(connection), claims: token::of(claims, &led.rules) };
    policy::judge_again(&led.rules, &facts, &[])
}
