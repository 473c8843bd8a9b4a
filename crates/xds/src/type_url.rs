//! The types of resources there are.

use std::fmt;

/// A type of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TypeUrl {
    /// Workloads and services.
    Address,
    /// L4 policies.
    Authorization,
    /// Ours: the pods of the asking node.
    Pod,
    /// Ours: the roots behind which peers are believed.
    TrustBundle,
    /// Ours: the namespaces whose pods are meshed.
    MeshedNamespace,
}

impl TypeUrl {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 5] =
        [Self::Address, Self::Authorization, Self::Pod, Self::TrustBundle, Self::MeshedNamespace];

    /// As it stands in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "type.googleapis.com/istio.workload.Address",
            Self::Authorization => "type.googleapis.com/istio.security.Authorization",
            Self::Pod => "type.googleapis.com/ambit.node.v1.Pod",
            Self::TrustBundle => "type.googleapis.com/ambit.node.v1.TrustBundle",
            Self::MeshedNamespace => "type.googleapis.com/ambit.node.v1.MeshedNamespace",
        }
    }

    /// Reads what stands in a message; nothing for a type that is not served here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Whether it is for node agents alone: callers of whom the authenticator says which node's they are.
    pub(crate) fn is_for_nodes(self) -> bool {
        match self {
            Self::Address | Self::Authorization => false,
            Self::Pod | Self::TrustBundle | Self::MeshedNamespace => true,
        }
    }

    /// Its place in tables of one entry a type.
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
