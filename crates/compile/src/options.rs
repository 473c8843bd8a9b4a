//! What the compiler must be told.

use std::sync::Arc;

use ambit_model::DEFAULT_TRUST_DOMAIN;

/// What no object says, but the mesh's operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The trust domain of every identity.
    pub trust_domain: Arc<str>,
    /// The cluster's name, in uids and metrics.
    pub cluster: Arc<str>,
    /// The namespace whose policies hold for the whole mesh.
    pub root_namespace: Arc<str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust_domain: DEFAULT_TRUST_DOMAIN.into(),
            cluster: "Kubernetes".into(),
            root_namespace: "istio-system".into(),
        }
    }
}
