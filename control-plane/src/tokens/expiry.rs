//! When a token ends.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The one claim of a token's that the API server's answer leaves out.
#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

/// How long a token is still good for, by its own claim; `None` if it has none. The claim is believed only
/// of tokens that the API server has accepted.
pub(super) fn left(token: &str, now: SystemTime) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    let end = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)?;
    Some(end.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_is_read_and_nothing_else() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (token, expected) in [
            (token(r#"{"iss":"x","exp":1060}"#), seconds(60)),
            (token(r#"{"exp":999}"#), seconds(0)),
            (token(r#"{"exp":-1}"#), None),
            (token(r#"{"exp":1e300}"#), None),
            (token(r#"{"exp":"1060"}"#), None),
            (token("{}"), None),
            ("a.b.c".to_owned(), None),
            ("opaque".to_owned(), None),
        ] {
            assert_eq!(left(&token, now), expected, "{token}");
        }
    }
}
