//! What metrics say about the authority.

use std::sync::atomic::AtomicI64;
use std::time::SystemTime;

use ambit_identity::CertificateAuthority;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What metrics say about the authority. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuthorityGauges {
    broken: Gauge,
    not_after: Gauge<i64, AtomicI64>,
}

impl AuthorityGauges {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let broken = "1 while the authority's Secret cannot be used and what was good before stays in force";
        registry.register("authority_secret_broken", broken, gauges.broken.clone());
        let not_after = "When the certificate that signs ends, in seconds since 1970";
        registry.register("authority_not_after_timestamp_seconds", not_after, gauges.not_after.clone());
        gauges
    }

    pub(super) fn broken(&self, broken: bool) {
        self.broken.set(i64::from(broken));
    }

    #[cfg(test)]
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get() != 0
    }

    pub(super) fn in_force(&self, signer: &CertificateAuthority) {
        let end = signer.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.not_after.set(i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
    }
}
