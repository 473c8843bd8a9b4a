//! Answers remembered for a short time. Tokens themselves are not kept, only their digests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio::time::Instant;

/// The SHA-256 of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Digest(Vec<u8>);

impl Digest {
    #[expect(clippy::expect_used, reason = "the suite is one of TLS 1.3 by its name")]
    pub(super) fn of(token: &str) -> Self {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3");
        Self(suite.common.hash_provider.hash(token.as_bytes()).as_ref().to_vec())
    }
}

/// A bounded number of answers, each with its end.
pub(super) struct Cache<V> {
    capacity: usize,
    entries: Mutex<HashMap<Digest, (Instant, V)>>,
}

impl<V: Clone> Cache<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// The answer, unless its time is over.
    pub(super) fn find(&self, digest: &Digest) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(digest).filter(|(end, _)| Instant::now() < *end).map(|(_, answer)| answer.clone())
    }

    /// Keeps an answer. A full cache forgets what is over, or else everything.
    pub(super) fn keep(&self, digest: Digest, answer: V, end: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity {
            let now = Instant::now();
            entries.retain(|_, (end, _)| now < *end);
        }
        if entries.len() >= self.capacity {
            entries.clear();
        }
        entries.insert(digest, (end, answer));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_stays_small_and_forgets_what_is_over() {
        let cache = Cache::new(2);
        let second = Duration::from_secs(1);
        let keep =
            |token: &str, seconds| cache.keep(Digest::of(token), token.to_owned(), Instant::now() + second * seconds);
        let found = |token: &str| cache.find(&Digest::of(token)).is_some();
        keep("a", 1);
        keep("b", 3);
        assert!(found("a") && found("b") && !found("c"));
        tokio::time::advance(second).await;
        assert!(!found("a") && found("b"));
        keep("c", 3);
        assert!(found("b") && found("c"));
        keep("d", 3);
        assert!(!found("b") && !found("c") && found("d"));
    }
}
