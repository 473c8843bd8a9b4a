//! Step 6: the token, where the service wants to look at one.

use std::rc::Rc;

use ambit_l7::Claims;
use http::{HeaderValue, header};

use super::head::Head;
use super::refusal::Refusal;
use crate::in_force::Compiled;
use crate::jwt::{self, BadToken};
use crate::worker::Worker;

/// What the request's token says; `None` where it has none, or nobody looks at any.
pub(crate) async fn check(
    worker: &Rc<Worker>,
    rules: &Compiled,
    head: &mut Head,
) -> Result<Option<Rc<Claims>>, Refusal> {
    let rules = &rules.rules.jwt;
    if rules.is_empty() {
        return Ok(None);
    }
    jwt::check(worker, rules, &mut head.parts).await.map_err(refusal)
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
