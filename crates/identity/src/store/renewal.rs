//! Keeps one identity's certificate fresh.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use tokio::sync::watch;

use super::{SlotState, StoreOptions};
use crate::certificate::WorkloadCertificate;
use crate::source::{CertificateSource, FetchError, SigningRequest};

/// Pause after the first failure; it doubles with every further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest pause between attempts while the older certificate is valid.
const LAST_BACKOFF: Duration = Duration::from_secs(150);
/// Longest pause between attempts while there is none, and connections are refused for want of it.
const LAST_BACKOFF_WITHOUT: Duration = Duration::from_secs(10);
/// Shortest time between two renewals.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for an answer of the authority.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What all renewals share.
pub(super) struct Renewal {
    pub(super) source: Arc<dyn CertificateSource>,
    pub(super) options: StoreOptions,
}

impl Renewal {
    /// Fetches and renews for as long as it runs. Connections made with an older certificate are not
    /// touched; a failed renewal leaves the older one in place until it expires.
    pub(super) async fn run(self: Arc<Self>, identity: Identity, slot: watch::Sender<SlotState>) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.fetch(&identity).await {
                Ok(certificate) => {
                    backoff = FIRST_BACKOFF;
                    let due = self.due(&certificate);
                    tracing::debug!(%identity, serial = certificate.serial(), "certificate issued");
                    slot.send_replace(SlotState { certificate: Some(Arc::new(certificate)), error: None });
                    self.options.clock.sleep_until(due).await;
                }
                Err(error) => {
                    let is_refused = slot.borrow().valid(self.options.clock.now()).is_none();
                    backoff = backoff.min(if is_refused { LAST_BACKOFF_WITHOUT } else { LAST_BACKOFF });
                    tracing::warn!(%identity, retry_after = ?backoff, error = &error as &dyn std::error::Error, "no certificate");
                    slot.send_modify(|state| state.error = Some(Arc::new(error)));
                    tokio::time::sleep(backoff).await;
                    backoff *= 2;
                }
            }
        }
    }

    /// A new key and a certificate for it.
    async fn fetch(&self, identity: &Identity) -> Result<WorkloadCertificate, FetchError> {
        let (key, request) = SigningRequest::generate(identity.clone(), self.options.lifetime)?;
        let chain = tokio::time::timeout(FETCH_TIMEOUT, self.source.fetch(&request))
            .await
            .map_err(|_| FetchError::TimedOut(FETCH_TIMEOUT))??;
        Ok(WorkloadCertificate::new(identity, &key, chain, self.options.clock.now())?)
    }

    /// When to renew: after half of what is left, less up to a tenth of that, so that the pods of a
    /// node that started together do not renew together for ever. Never at once: an authority near its
    /// own end gives certificates that are almost over.
    fn due(&self, certificate: &WorkloadCertificate) -> SystemTime {
        let now = self.options.clock.now();
        let left = certificate.not_after().duration_since(now).unwrap_or_default();
        now + left.mul_f64(0.5 * rand::random_range(0.9..=1.0)).max(SHORTEST_PAUSE)
    }
}
