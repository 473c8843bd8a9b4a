//! What a token says, once its signature is found good.

use serde_json::{Map, Value};

/// How far clocks may differ, in seconds.
const SKEW: f64 = 60.0;

/// A token that its issuer signed. It may be old, or for somebody else: see [`Verified::check`].
#[derive(Debug)]
pub struct Verified<'t> {
    claims: Map<String, Value>,
    payload: &'t str,
}

/// What a token must claim.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a, A> {
    /// One of these; empty: any.
    pub audiences: &'a [A],
    /// The time, in seconds since 1970.
    pub now: f64,
}

/// Why a token is of no use here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time is to come.
    #[error("the token is not valid yet")]
    TooEarly,
    /// It is for others.
    #[error("the token is for another audience")]
    Audience,
    /// A claim is not what it must be.
    #[error("the token's {claim} is malformed")]
    Malformed {
        /// Which.
        claim: &'static str,
    },
}

impl<'t> Verified<'t> {
    pub(crate) fn new(claims: Map<String, Value>, payload: &'t str) -> Self {
        Self { claims, payload }
    }

    /// Checks times and audience.
    ///
    /// # Errors
    /// Where it is of no use here and now.
    pub fn check<A: AsRef<str>>(&self, expected: &Expected<'_, A>) -> Result<(), ClaimError> {
        if self.time("nbf")?.is_some_and(|from| from > expected.now + SKEW) {
            return Err(ClaimError::TooEarly);
        }
        if self.until()?.is_some_and(|until| until <= expected.now) {
            return Err(ClaimError::Expired);
        }
        let is_for = |audience: &str| expected.audiences.iter().any(|known| core(known.as_ref()) == core(audience));
        if expected.audiences.is_empty() || self.audiences().any(is_for) { Ok(()) } else { Err(ClaimError::Audience) }
    }

    /// When it is of no use any more, in seconds since 1970; none: never.
    ///
    /// # Errors
    /// Where its `exp` is no number.
    pub fn until(&self) -> Result<Option<f64>, ClaimError> {
        Ok(self.time("exp")?.map(|expires| expires + SKEW))
    }

    /// What it says, as it was sent: in base64url.
    #[must_use]
    pub fn payload(&self) -> &'t str {
        self.payload
    }

    /// What it says.
    #[must_use]
    pub fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    fn time(&self, claim: &'static str) -> Result<Option<f64>, ClaimError> {
        let read = |value: &Value| value.as_f64().ok_or(ClaimError::Malformed { claim });
        self.claims.get(claim).map(read).transpose()
    }

    fn audiences(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self.claims.get("aud") {
            Some(Value::Array(several)) => (None, Some(several)),
            one => (one, None),
        };
        one.into_iter().chain(several.into_iter().flatten()).filter_map(Value::as_str)
    }
}

/// An audience without its scheme and the slash at its end: the field takes no notice of either.
fn core(audience: &str) -> &str {
    let bare = audience.strip_prefix("https://").or_else(|| audience.strip_prefix("http://"));
    let bare = bare.unwrap_or(audience);
    bare.strip_suffix('/').unwrap_or(bare)
}
