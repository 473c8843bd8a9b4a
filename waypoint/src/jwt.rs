//! Tokens: where they are looked for, by whose keys they are believed, what they say.
//!
//! | what | file |
//! | --- | --- |
//! | the places of tokens in a request | `jwt/places.rs` |
//! | signatures, times, audiences | `ambit_jwt` |
//! | tokens found good before | `jwt/believed.rs` |
//! | the keys of issuers | `jwt/keys.rs`, `jwt/fetch.rs` |
//! | headers that carry claims on | `jwt/outputs.rs` |

mod believed;
mod fetch;
mod keys;
mod outputs;
mod places;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ambit_jwt::{ClaimError, Expected, SignatureError, Token, TokenError};
use ambit_l7::{Claims, JwtRule};
use http::StatusCode;
use http::request::Parts;

use crate::worker::Worker;
use believed::{Believed, Entry};
pub(crate) use keys::Keys;
use keys::Sources;
use places::Found;

/// A request with more tokens than this is refused: each is work.
const MAX_TOKENS: usize = 4;

/// What a worker knows of tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    sources: Sources,
    believed: Believed,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// There are too many.
    #[error("more than {MAX_TOKENS} tokens")]
    TooMany,
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] TokenError),
    /// No rule is for its issuer, at the place where it was found.
    #[error("no rule is for the token's issuer")]
    Issuer,
    /// The issuer's keys are not to be had.
    #[error("the keys of the token's issuer are not there")]
    NoKeys,
    /// Its signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What it claims.
    #[error(transparent)]
    Claims(#[from] ClaimError),
}

impl BadToken {
    /// What the client gets.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Claims(ClaimError::Audience) => StatusCode::FORBIDDEN,
            Self::TooMany
            | Self::Malformed(_)
            | Self::Issuer
            | Self::NoKeys
            | Self::Signature(_)
            | Self::Claims(ClaimError::Expired | ClaimError::TooEarly | ClaimError::Malformed { .. }) => {
                StatusCode::UNAUTHORIZED
            }
        }
    }

    /// What the client is told, in the field's words.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Issuer => "Jwt issuer is not configured",
            Self::NoKeys => "Jwks remote fetch is failed",
            Self::Malformed(TokenError::Parts) => {
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            }
            Self::Claims(ClaimError::Expired) => "Jwt is expired",
            Self::Claims(ClaimError::TooEarly) => "Jwt not yet valid",
            Self::Claims(ClaimError::Audience) => "Audiences in Jwt are not allowed",
            Self::TooMany | Self::Malformed(_) | Self::Signature(_) | Self::Claims(ClaimError::Malformed { .. }) => {
                "Jwt verification fails"
            }
        }
    }
}

/// What the request's token says; `None` where it has none. Every token found must be good: which of them the backend
/// looks at nobody knows. The headers that carry claims on are written, or taken away where there are none.
pub(crate) async fn check(
    worker: &Rc<Worker>,
    rules: &[Arc<JwtRule>],
    request: &mut Parts,
) -> Result<Option<Rc<Claims>>, BadToken> {
    let found = places::find(rules, request);
    outputs::strip(rules, &mut request.headers);
    if found.len() > MAX_TOKENS {
        return Err(BadToken::TooMany);
    }
    let mut first = None;
    for found in &found {
        let (rule, claims) = believe(worker, found).await?;
        outputs::write(rule, &found.token, &claims, &mut request.headers);
        if !rule.forward_token {
            places::remove(rule, &found.token, request);
        }
        first.get_or_insert(claims);
    }
    Ok(first)
}

/// Whether claims that were once believed would be looked at by the rules of now: those of an issuer that nobody
/// believes any more say nothing.
pub(crate) fn counts(claims: &Claims, rules: &[Arc<JwtRule>]) -> bool {
    let issuer = claims.map().get("iss").and_then(serde_json::Value::as_str);
    rules.iter().any(|rule| issuer == Some(&*rule.issuer))
}

/// Fetches the keys of the issuers in force before anybody needs them, and forgets the others'.
pub(crate) fn in_force_changed(worker: &Rc<Worker>) {
    let in_force = worker.in_force();
    worker.tokens.sources.forget();
    let services = in_force.config.services.values();
    let rules: Vec<_> = services.chain([&in_force.config.default]).flat_map(|rules| &rules.jwt).collect();
    for rule in &rules {
        worker.tokens.sources.of(worker, rule);
    }
    worker.keys.retain(&rules);
}

/// Believes a token by the first of its issuer's rules that does.
async fn believe<'r>(worker: &Rc<Worker>, found: &Found<'r>) -> Result<(&'r Arc<JwtRule>, Rc<Claims>), BadToken> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let token = &Presented { text: &found.token, digest: believed::digest(&found.token), now };
    let known = |rule: &'r Arc<JwtRule>| Some((rule, token.known(worker, rule)?));
    if let Some(known) = found.rules.iter().copied().find_map(known) {
        return Ok(known);
    }
    let issuer = Token::read(token.text)?.issuer().map(str::to_owned);
    let mut worst = BadToken::Issuer;
    for rule in found.rules.iter().copied().filter(|rule| issuer.as_deref() == Some(&*rule.issuer)) {
        match token.verify(worker, rule).await {
            Ok(claims) => return Ok((rule, claims)),
            Err(error) => worst = error,
        }
    }
    Err(worst)
}

/// A token as it was sent, now.
struct Presented<'t> {
    text: &'t str,
    digest: believed::Digest,
    /// In seconds since 1970.
    now: f64,
}

impl Presented<'_> {
    /// What it says, where this rule has believed it before and still does.
    fn known(&self, worker: &Rc<Worker>, rule: &Arc<JwtRule>) -> Option<Rc<Claims>> {
        let keys = worker.tokens.sources.of(worker, rule).now()?;
        worker.tokens.believed.find(self.digest, rule, &keys, self.now)
    }

    async fn verify(&self, worker: &Rc<Worker>, rule: &Arc<JwtRule>) -> Result<Rc<Claims>, BadToken> {
        let source = worker.tokens.sources.of(worker, rule);
        let mut keys = source.first(rule.timeout).await.ok_or(BadToken::NoKeys)?;
        let verified = match keys.verify(Token::read(self.text)?) {
            Err(SignatureError::UnknownKey) => {
                keys = source.newer(&keys, rule.timeout).await.ok_or(SignatureError::UnknownKey)?;
                keys.verify(Token::read(self.text)?)
            }
            known => known,
        }?;
        verified.check(&Expected { audiences: &rule.audiences, now: self.now })?;
        let until = verified.until()?;
        let claims = Rc::new(Claims::new(verified.into_claims(), &rule.space_delimited));
        let entry = Entry { rule: Arc::clone(rule), keys, until, claims: Rc::clone(&claims) };
        worker.tokens.believed.keep(self.digest, entry);
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
