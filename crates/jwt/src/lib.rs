//! JSON Web Tokens, as far as whoever receives them needs: a [`Token`] is read, its signature [verified] by an issuer's
//! [`KeySet`], and then what it claims can be looked at. Pure: no I/O, no clock of its own.
//!
//! Signatures are of public keys only, and the key decides which algorithms may be used with it: `none`, and secrets
//! made of public keys, are not refused but unknown.
//!
//! [verified]: KeySet::verify

mod algorithm;
mod key_set;
mod public_key;
#[cfg(test)]
mod tests;
mod token;
mod verified;

pub use key_set::{KeySet, KeySetError, MAX_KEY_SET, SignatureError};
pub use token::{MAX_TOKEN, Token, TokenError};
pub use verified::{ClaimError, Expected, Verified};
