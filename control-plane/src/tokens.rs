//! Whose a token is, by the API server's word.

mod cache;
mod expiry;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use ambit_xds::{AuthError, Authenticator, BoundPod, Caller};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::failure::error_chain;
use cache::{Cache, Digest};

/// How long the API server's word is believed, never beyond the token's own end. A pod that is deleted loses its certificates' renewal this
/// much later at most.
const BELIEVED: Duration = Duration::from_secs(30);
/// How long a refused token is not asked about again: a client that repeats it must not load the API server.
const REFUSED: Duration = Duration::from_secs(5);
/// Most tokens remembered, good and bad ones apart, so that bad ones never push out good ones.
const MAX_REMEMBERED: usize = 4096;
/// Questions to the API server at one time.
const MAX_QUESTIONS: usize = 16;
/// Longest wait for an answer, the wait for one's turn included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the API server (TokenReview), and remembers its answers for a short time.
pub(crate) struct Tokens {
    reviews: Api<TokenReview>,
    audience: &'static str,
    good: Cache<Caller>,
    bad: Cache<String>,
    questions: Semaphore,
}

impl Tokens {
    /// Accepts tokens that were made for `audience`.
    pub(crate) fn new(client: Client, audience: &'static str) -> Self {
        Self {
            reviews: Api::all(client),
            audience,
            good: Cache::new(MAX_REMEMBERED),
            bad: Cache::new(MAX_REMEMBERED),
            questions: Semaphore::new(MAX_QUESTIONS),
        }
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, AuthError> {
        let spec = TokenReviewSpec { audiences: Some(vec![self.audience.to_owned()]), token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = timeout(PATIENCE, async {
            let _turn = self.questions.acquire().await;
            self.reviews.create(&PostParams::default(), &review).await
        });
        let unavailable = |reason| AuthError::Unavailable { reason };
        let review = answer
            .await
            .map_err(|_| unavailable("the API server did not answer in time".to_owned()))?
            .map_err(|error| unavailable(error_chain(&error)))?;
        Ok(review.status.unwrap_or_default())
    }
}

impl Authenticator for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        let digest = Digest::of(token);
        if let Some(caller) = self.good.find(&digest) {
            return Ok(caller);
        }
        if let Some(reason) = self.bad.find(&digest) {
            return Err(AuthError::Refused { reason });
        }
        let asked = Instant::now();
        match caller(self.review(token).await?, self.audience) {
            Ok(caller) => {
                let left = expiry::left(token, SystemTime::now()).unwrap_or(BELIEVED);
                self.good.keep(digest, caller.clone(), asked + BELIEVED.min(left));
                Ok(caller)
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                self.bad.keep(digest, reason.clone(), asked + REFUSED);
                Err(AuthError::Refused { reason })
            }
        }
    }
}

/// Why the API server's answer names no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the API server does not accept it: {0:?}")]
    NotAccepted(String),
    #[error("it is not made for the audience {0}")]
    Audience(&'static str),
    #[error("{0:?} is no service account")]
    NoServiceAccount(String),
}

fn caller(status: TokenReviewStatus, audience: &'static str) -> Result<Caller, Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::NotAccepted(status.error.unwrap_or_default()));
    }
    // A server that knows no audiences accepts every token, and names none.
    if !status.audiences.is_some_and(|audiences| audiences.iter().any(|each| each == audience)) {
        return Err(Refusal::Audience(audience));
    }
    let user = status.user.unwrap_or_default();
    let username = user.username.as_deref().unwrap_or_default();
    let account = username.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    let Some((namespace, service_account)) =
        account.filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
    else {
        return Err(Refusal::NoServiceAccount(username.to_owned()));
    };
    let pod = extra(&user, "pod-name").zip(extra(&user, "pod-uid"));
    Ok(Caller {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        pod: pod.map(|(name, uid)| BoundPod { name, uid }),
        node: extra(&user, "node-name"),
        waypoint: None,
    })
}

/// What the token is bound to. More than one value is none: nothing of it could be relied on.
fn extra(user: &UserInfo, name: &str) -> Option<String> {
    match user.extra.as_ref()?.get(&format!("authentication.kubernetes.io/{name}"))?.as_slice() {
        [value] => Some(value.clone()),
        _ => None,
    }
}
