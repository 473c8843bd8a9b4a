//! Keeps the keys of one issuer: fetched, and fetched again.

use std::rc::Rc;
use std::str::Utf8Error;
use std::sync::Arc;
use std::time::Duration;

use ambit_jwt::{KeySet, KeySetError, MAX_KEY_SET};
use ambit_l7::{KeySource, Tls, TlsMode, TrafficPolicy};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::keys::{ASKED_FOR, State, Wanted};
use crate::body::Body;
use crate::errand::{self, Errand, ErrandError};
use crate::failure::error_chain;
use crate::plan::Speak;
use crate::worker::Worker;

/// How often keys are fetched, as in the field.
const REFRESH: Duration = Duration::from_secs(20 * 60);

/// How soon after a failure they are tried again; each time after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// The address is none.
    #[error("{text:?} is no address")]
    Address {
        /// What is written.
        text: String,
        /// Why not.
        source: http::uri::InvalidUri,
    },
    /// There was no answer.
    #[error("{uri} does not answer")]
    Errand {
        /// Who.
        uri: Uri,
        /// Why not.
        source: ErrandError,
    },
    /// There was another answer.
    #[error("{uri} answered {status}")]
    Status {
        /// Who.
        uri: Uri,
        /// What.
        status: StatusCode,
    },
    /// The answer is no text.
    #[error("the answer is not UTF-8")]
    Text(#[from] Utf8Error),
    /// The answer holds no keys.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// The answer does not say where the keys are.
    #[error("the discovery document does not say where the keys are")]
    Discovery(#[source] serde_json::Error),
}

/// What is needed of an OpenID discovery document.
#[derive(Deserialize)]
struct Discovered {
    jwks_uri: String,
}

/// Keeps the keys until nobody looks at them any more. What was good stays until there is something newer.
pub(super) async fn keep(worker: Rc<Worker>, wanted: Wanted, state: watch::Sender<State>, nudge: Arc<Notify>) {
    let tls = Tls { mode: TlsMode::Simple, ..Tls::default() };
    let fetcher =
        Fetcher { worker, timeout: wanted.timeout, tls: Arc::new(TrafficPolicy { tls, ..TrafficPolicy::default() }) };
    let mut pause = FIRST_PAUSE;
    loop {
        state.send_modify(|state| state.is_fetching = true);
        let fetched = fetcher.keys(&wanted).await;
        let wait = match &fetched {
            Ok(_) => REFRESH,
            Err(error) => {
                let error = error_chain(error);
                tracing::warn!(issuer = %wanted.issuer, error, "the keys of an issuer are not to be had");
                pause
            }
        };
        pause = if fetched.is_ok() { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        state.send_modify(|state| {
            // The same keys stay the same: tokens found good by them need not be looked at again.
            if let Ok(keys) = fetched
                && state.keys.as_deref() != Some(&keys)
            {
                state.keys = Some(Arc::new(keys));
            }
            state.is_fetching = false;
            state.at = Instant::now();
        });
        let asked_for = async {
            sleep(ASKED_FOR).await;
            nudge.notified().await;
        };
        tokio::select! {
            () = state.closed() => return,
            () = worker_ends(&fetcher.worker) => return,
            () = sleep(wait) => {}
            () = asked_for => {}
        }
    }
}

async fn worker_ends(worker: &Worker) {
    worker.drain.cut_off().cancelled().await;
}

struct Fetcher {
    worker: Rc<Worker>,
    timeout: Duration,
    /// What is spoken to `https://…`.
    tls: Arc<TrafficPolicy>,
}

impl Fetcher {
    async fn keys(&self, wanted: &Wanted) -> Result<KeySet, FetchError> {
        let found;
        let uri = match &wanted.keys {
            KeySource::Inline(text) => return Ok(KeySet::read(text)?),
            KeySource::Uri(uri) => uri,
            KeySource::Discovery => {
                let issuer = wanted.issuer.trim_end_matches('/');
                let document = self.get(&format!("{issuer}/.well-known/openid-configuration")).await?;
                let document: Discovered = serde_json::from_slice(&document).map_err(FetchError::Discovery)?;
                found = document.jwks_uri;
                found.as_str()
            }
        };
        let keys = self.get(uri).await?;
        Ok(KeySet::read(std::str::from_utf8(&keys)?)?)
    }

    async fn get(&self, text: &str) -> Result<Bytes, FetchError> {
        let uri: Uri = text.parse().map_err(|source| FetchError::Address { text: text.to_owned(), source })?;
        let in_force = self.worker.in_force();
        let failed = |source| FetchError::Errand { uri: uri.clone(), source };
        let (destination, policy) = errand::destination(&in_force, &uri, &self.tls).await.map_err(failed)?;
        let errand = Errand { destination, policy, speak: Speak::Http1, timeout: self.timeout, max_body: MAX_KEY_SET };
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = errand.run(&self.worker, &in_force, request).await.map_err(failed)?;
        match answer.head.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(FetchError::Status { uri, status }),
        }
    }
}
