//! What the admin page shows. Never a key.

use std::time::SystemTime;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::bundle::TrustBundle;
use crate::source::pem_of;
use crate::store::{CertificateStore, SlotState};

/// The certificates held and the roots in force, for the admin page.
#[must_use]
pub fn dump(store: &CertificateStore, bundle: &TrustBundle) -> Value {
    let now = store.clock().now();
    let mut states = store.states();
    states.sort_by(|(one, _), (other, _)| one.cmp(other));
    let certificates: Vec<Value> = states
        .iter()
        .map(|(identity, state)| {
            let certificate = state.certificate.as_ref();
            json!({
                "identity": identity.to_string(),
                "state": word(state, now),
                "error": state.error.as_deref().map(|error| chain_of(error)),
                "serial": certificate.map(|certificate| certificate.serial()),
                "not_before": certificate.map(|certificate| rfc3339(certificate.not_before())),
                "not_after": certificate.map(|certificate| rfc3339(certificate.not_after())),
                "chain": certificate.map(|certificate| pem_of(certificate.chain())),
            })
        })
        .collect();
    json!({
        "certificates": certificates,
        "roots": pem_of(bundle.roots().certificates()),
        "roots_problem": bundle.problem().as_deref().map(|error| chain_of(error)),
    })
}

fn word(state: &SlotState, now: SystemTime) -> &'static str {
    match (&state.certificate, state.valid(now), &state.error) {
        (_, Some(_), None) => "valid",
        (_, Some(_), Some(_)) => "valid, renewal failing",
        (Some(_), None, _) => "expired",
        (None, _, Some(_)) => "failing",
        (None, _, None) => "pending",
    }
}

/// `None` for a year that RFC 3339 cannot write.
fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}

/// An error with its causes.
fn chain_of(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
