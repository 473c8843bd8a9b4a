//! A token, read and not yet believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;

/// A longer token is none: headers hold no more of them anyway.
pub const MAX_TOKEN: usize = 8 << 10;

/// A token of which nothing is proved.
#[derive(Debug)]
pub struct Token<'t> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) payload: &'t str,
    /// What is signed: header and payload as they were sent.
    pub(crate) signed: &'t str,
    pub(crate) signature: Vec<u8>,
}

/// Why a text is no token that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long.
    #[error("a token is {MAX_TOKEN} bytes long at most")]
    TooLong,
    /// It is not three parts.
    #[error("a token is three parts with dots between")]
    Parts,
    /// A part is not base64url.
    #[error("a token's {part} is in base64url")]
    Base64 {
        /// Which.
        part: &'static str,
    },
    /// A part is no JSON object, or one too deep.
    #[error("a token's {part} is a JSON object")]
    Json {
        /// Which.
        part: &'static str,
    },
    /// Its algorithm is none of public keys.
    #[error("a token is signed by a public key's algorithm")]
    Algorithm,
    /// It has extensions that must be understood.
    #[error("the token's critical extensions are not known")]
    Critical,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'t> Token<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// Where it is none that can be verified.
    pub fn read(text: &'t str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Parts)?;
        if payload.contains('.') {
            return Err(TokenError::Parts);
        }
        let header: Header = object(header, "header")?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        Ok(Self {
            algorithm: Algorithm::named(&header.alg).ok_or(TokenError::Algorithm)?,
            key_id: header.kid.filter(|id| !id.is_empty()),
            claims: object(payload, "payload")?,
            payload,
            signed,
            signature: decode(signature, "signature")?,
        })
    }

    /// Who says to have issued it. To be used to look for keys, and for nothing else.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }
}

fn decode(text: &str, part: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Base64 { part })
}

/// The JSON reader itself bounds the depth.
fn object<T: for<'de> Deserialize<'de>>(text: &str, part: &'static str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(text, part)?).map_err(|_| TokenError::Json { part })
}
