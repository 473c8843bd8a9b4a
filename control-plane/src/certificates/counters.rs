//! What metrics say about certificates.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::refusal::Refusal;

/// Certificates issued and refused. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct CertificateCounters {
    issued: Counter,
    refused: Family<Reason, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl CertificateCounters {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        registry.register("certificates_issued", "Certificates issued", counters.issued.clone());
        registry.register("certificates_refused", "Certificates refused, by reason", counters.refused.clone());
        counters
    }

    pub(super) fn issued(&self) {
        self.issued.inc();
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refused.get_or_create(&Reason { reason: refusal.word() }).inc();
    }
}
