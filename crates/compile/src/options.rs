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
    /// When a pod takes tunnels.
    pub tunnels: Tunnels,
    /// Whether the mesh is being taken down: nobody is to be enrolled, whatever the labels say.
    pub dissolve: bool,
    /// Whether workloads carry their labels: waypoints look at them, node agents need not keep them.
    pub labels: bool,
}

/// When a pod that is to be enrolled takes tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tunnels {
    /// At once: whoever enrols it is the one who reads this.
    #[default]
    AsWished,
    /// Once its node is known to have captured it, by its annotation or by
    /// [`Input::Enrolled`](crate::Input::Enrolled), and only as long as it is to be enrolled.
    AsReported,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust_domain: DEFAULT_TRUST_DOMAIN.into(),
            cluster: "Kubernetes".into(),
            root_namespace: "istio-system".into(),
            tunnels: Tunnels::default(),
            dissolve: false,
            labels: false,
        }
    }
}
