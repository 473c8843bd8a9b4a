//! RequestAuthentication: which tokens are good.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::Origin;

/// Tokens of one issuer. A request without a token passes; one with a bad token is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRule {
    /// Where it is written.
    pub origin: Origin,
    /// `iss`.
    pub issuer: Arc<str>,
    /// `aud` must be one of these; empty: any.
    pub audiences: Vec<Arc<str>>,
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// Headers in which tokens come. Empty with the two below: `Authorization: Bearer …` and the parameter
    /// `access_token`.
    pub from_headers: Vec<JwtHeader>,
    /// Parameters of the query in which tokens come.
    pub from_params: Vec<Arc<str>>,
    /// Cookies in which tokens come.
    pub from_cookies: Vec<Arc<str>>,
    /// The header that carries the payload on, in base64url.
    pub output_payload: Option<HeaderName>,
    /// Headers that carry claims on: header, and the claim's path.
    pub output_claims: Vec<(HeaderName, Arc<[Arc<str>]>)>,
    /// Whether the backend sees the token.
    pub forward_token: bool,
    /// Longest wait for the issuer's keys.
    pub timeout: Duration,
    /// Claims whose text is a list of words, beside `scope` and `permission`.
    pub space_delimited: Vec<Arc<str>>,
}

/// A header in which tokens come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtHeader {
    /// Which.
    pub name: HeaderName,
    /// What stands in front of the token, as `Bearer `; may be empty.
    pub prefix: Arc<str>,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// A JSON Web Key Set, in the object itself.
    Inline(Arc<str>),
    /// Where one is fetched.
    Uri(Arc<str>),
    /// To be found by the issuer's OpenID discovery document.
    Discovery,
}
