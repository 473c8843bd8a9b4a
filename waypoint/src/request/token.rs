//! Step 6: the token, where the service wants to look at one.

use std::rc::Rc;
use std::sync::Arc;

use ambit_l7::{Claims, JwtRule};
use http::{HeaderValue, header};

use super::head::Head;
use super::refusal::Refusal;
use crate::in_force::{Compiled, Governing};
use crate::jwt::{self, BadToken};
use crate::worker::Worker;

/// What the request's tokens say; nothing where it has none, or nobody looks at any. Each one's rules must be content
/// for themselves; only then all together change the request.
pub(crate) async fn check(
    worker: &Rc<Worker>,
    governing: &[Governing],
    head: &mut Head,
) -> Result<Vec<Rc<Claims>>, Refusal> {
    let mut claims = Vec::new();
    let all: Vec<Arc<JwtRule>> = governing.iter().flat_map(|governing| &governing.rules.rules.jwt).cloned().collect();
    if all.is_empty() {
        return Ok(claims);
    }
    if let [_, _, ..] = governing {
        for governing in governing {
            let mut parts = head.parts.clone();
            claims.extend(jwt::check(worker, &governing.rules.rules.jwt, &mut parts).await.map_err(refusal)?);
        }
    }
    claims.extend(jwt::check(worker, &all, &mut head.parts).await.map_err(refusal)?);
    Ok(claims)
}

/// The same for a service that the request is led to. A token that was taken out on the way here counts.
pub(crate) async fn check_led(
    worker: &Rc<Worker>,
    led: &Compiled,
    claims: &mut Vec<Rc<Claims>>,
    head: &mut Head,
) -> Result<(), Refusal> {
    let rules = &led.rules.jwt;
    if !rules.is_empty() && of(claims, led).is_none() {
        claims.extend(jwt::check(worker, rules, &mut head.parts).await.map_err(refusal)?);
    }
    Ok(())
}

/// The claims that these rules would look at.
pub(crate) fn of<'c>(claims: &'c [Rc<Claims>], rules: &Compiled) -> Option<&'c Claims> {
    claims.iter().map(|claims| &**claims).find(|claims| jwt::counts(claims, &rules.rules.jwt))
}

/// In the words of the field.
fn refusal(bad: BadToken) -> Refusal {
    tracing::debug!(%bad, "a request's token is refused");
    let details = format!("jwt_authn_access_denied{{{}}}", bad.told().replace(' ', "_"));
    let mut refusal = Refusal::new(bad.status(), details).with_body(bad.told());
    let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
    refusal.headers.get_or_insert_default().insert(header::WWW_AUTHENTICATE, challenge);
    refusal
}
