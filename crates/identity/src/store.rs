//! Certificates of the workloads served here: asked for once, renewed in time, forgotten with them.

mod renewal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::certificate::WorkloadCertificate;
use crate::clock::Clock;
use crate::source::{CertificateSource, FetchError};
use renewal::Renewal;

/// The validity asked for when nothing else is set: 24 h.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Settings of a [`CertificateStore`].
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// The validity to ask for. Renewal comes at half of it.
    pub lifetime: Duration,
    /// Where "now" comes from.
    pub clock: Clock,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { lifetime: DEFAULT_LIFETIME, clock: Clock::default() }
    }
}

/// Certificates by identity. Each has one task that fetches and renews it, however many ask.
pub struct CertificateStore {
    renewal: Arc<Renewal>,
    slots: RwLock<HashMap<Identity, Slot>>,
    /// The runtime of the renewal tasks: askers may live on runtimes that come and go.
    runtime: Handle,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateUnavailable {
    /// The last attempt failed; the next comes by itself.
    #[error("no certificate for {identity}")]
    Failed {
        /// Whose.
        identity: Identity,
        /// How it failed.
        source: Arc<FetchError>,
    },
    /// The identity was dropped from the store while its certificate was awaited.
    #[error("{identity} is no longer served here")]
    Forgotten {
        /// Whose.
        identity: Identity,
    },
}

/// What is known of one identity.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlotState {
    pub(crate) certificate: Option<Arc<WorkloadCertificate>>,
    /// How the last attempt failed; none after a success.
    pub(crate) error: Option<Arc<FetchError>>,
}

/// One identity's place. Its renewal ends when it is dropped.
struct Slot {
    state: watch::Receiver<SlotState>,
    task: AbortHandle,
}

impl CertificateStore {
    /// An empty store that runs its renewals on `runtime`.
    #[must_use]
    pub fn new(source: Arc<dyn CertificateSource>, options: StoreOptions, runtime: Handle) -> Self {
        Self { renewal: Arc::new(Renewal { source, options }), slots: RwLock::default(), runtime }
    }

    /// A valid certificate of `identity`, waiting for it if need be. From the first call on it is kept
    /// renewed until [`crate::TlsConfigs::retain`] drops it, so ask only for identities served here.
    ///
    /// # Errors
    /// When there is no valid one and the last attempt to get one failed. This returns at once: the next
    /// attempt is made when its time has come, not when somebody asks.
    pub async fn certificate(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertificateUnavailable> {
        if let Some(certificate) = self.current(identity) {
            return Ok(certificate);
        }
        let mut slot = self.slot(identity);
        loop {
            let outcome = slot.borrow_and_update().outcome(self.clock().now());
            if let Some(outcome) = outcome {
                return outcome.map_err(|source| CertificateUnavailable::Failed { identity: identity.clone(), source });
            }
            let forgotten = |_| CertificateUnavailable::Forgotten { identity: identity.clone() };
            slot.changed().await.map_err(forgotten)?;
        }
    }

    /// The certificate of `identity` if there is a valid one now. Never waits, never asks for one.
    #[must_use]
    pub fn current(&self, identity: &Identity) -> Option<Arc<WorkloadCertificate>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(identity)?.state.borrow().valid(self.clock().now())
    }

    /// Forgets, with their keys, the identities for which `keep` says no.
    pub(crate) fn retain(&self, keep: impl Fn(&Identity) -> bool) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).retain(|identity, _| keep(identity));
    }

    /// Where this store's "now" comes from.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.renewal.options.clock
    }

    /// Everything known, by identity.
    pub(crate) fn states(&self) -> Vec<(Identity, SlotState)> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.iter().map(|(identity, slot)| (identity.clone(), slot.state.borrow().clone())).collect()
    }

    /// The place of `identity`, with its renewal running.
    fn slot(&self, identity: &Identity) -> watch::Receiver<SlotState> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(identity.clone()).or_insert_with(|| {
            let (sender, state) = watch::channel(SlotState::default());
            let renewal = Arc::clone(&self.renewal);
            let task = self.runtime.spawn(renewal.run(identity.clone(), sender)).abort_handle();
            Slot { state, task }
        });
        slot.state.clone()
    }
}

impl SlotState {
    /// The certificate, unless it has expired.
    pub(crate) fn valid(&self, now: SystemTime) -> Option<Arc<WorkloadCertificate>> {
        self.certificate.as_ref().filter(|certificate| now < certificate.not_after()).cloned()
    }

    /// What to tell who asks; `None` while nothing is known yet.
    fn outcome(&self, now: SystemTime) -> Option<Result<Arc<WorkloadCertificate>, Arc<FetchError>>> {
        self.valid(now).map(Ok).or_else(|| self.error.clone().map(Err))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.task.abort();
    }
}
