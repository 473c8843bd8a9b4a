//! The keys of an issuer: a JSON Web Key Set (RFC 7517).

use serde::Deserialize;
use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::public_key::{Material, PublicKey};
use crate::{Token, Verified};

/// A longer set is not read.
pub const MAX_KEY_SET: usize = 1 << 20;

/// Keys of a set that are used: a token without a name of its key is tried with each.
const MAX_KEYS: usize = 100;

/// The keys of an issuer that verify signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only one it may be used with, where it says so.
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

/// Why a text is no key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is too long.
    #[error("a key set is {MAX_KEY_SET} bytes long at most")]
    TooLong,
    /// It is not JSON of that form.
    #[error("not a key set")]
    Json(#[from] serde_json::Error),
    /// There is nothing in it that verifies signatures.
    #[error("no key of the set verifies signatures")]
    NoKey,
    /// There are too many keys.
    #[error("a key set has {MAX_KEYS} keys at most")]
    TooMany,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The set does not have the key that the token names: a newer one may.
    #[error("the key that signed the token is not known")]
    UnknownKey,
    /// No key signed it.
    #[error("the token's signature is not valid")]
    Invalid,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Written {
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    #[serde(flatten)]
    material: Material,
}

impl KeySet {
    /// Reads a key set. Keys in it that are for other purposes, or of a kind not known, are left out, as RFC 7517 §5
    /// wants.
    ///
    /// # Errors
    /// Where it is none, or has no key of use.
    pub fn read(text: &str) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET {
            return Err(KeySetError::TooLong);
        }
        let set: Set = serde_json::from_str(text)?;
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
        match keys.len() {
            0 => Err(KeySetError::NoKey),
            count if count > MAX_KEYS => Err(KeySetError::TooMany),
            _ => Ok(Self { keys }),
        }
    }

    /// Believes a token that one of the keys signed.
    ///
    /// # Errors
    /// Where none did.
    pub fn verify<'t>(&self, token: Token<'t>) -> Result<Verified<'t>, SignatureError> {
        let mut is_known = false;
        for key in self.keys.iter().filter(|key| key.may_have_signed(&token)) {
            is_known = true;
            if key.key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature) {
                return Ok(Verified::new(token.claims, token.payload));
            }
        }
        Err(if is_known { SignatureError::Invalid } else { SignatureError::UnknownKey })
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let written: Written = serde_json::from_value(value).ok()?;
        if written.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let key = PublicKey::read(&written.material)?;
        let algorithm = match written.alg.as_deref().filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(Algorithm::named(name).filter(|algorithm| key.fits(*algorithm))?),
        };
        Some(Self { id: written.kid.filter(|id| !id.is_empty()), algorithm, key })
    }

    /// A name on one side only tells nothing.
    fn may_have_signed(&self, token: &Token<'_>) -> bool {
        let same_id = self.id.as_ref().zip(token.key_id.as_ref()).is_none_or(|(own, asked)| own == asked);
        same_id && self.algorithm.is_none_or(|only| only == token.algorithm) && self.key.fits(token.algorithm)
    }
}
