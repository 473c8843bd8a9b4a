//! A token: reading it does not fail badly, and what no key of the set signed is not believed.

#![no_main]

use ambit_jwt::{KeySet, Token};

/// RFC 7515 appendix A.3.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = KeySet::read(text);
    let Ok(token) = Token::read(text) else { return };
    let _ = token.issuer();
    let keys = KeySet::read(KEYS).expect("the RFC's key is one");
    assert!(keys.verify(token).is_err() || text.starts_with(SIGNED), "forged: {text}");
});
