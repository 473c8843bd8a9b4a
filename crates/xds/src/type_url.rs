//! The types of resources there are.

use std::fmt;

use crate::Caller;

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
    /// Ours: users' objects that concern the asking waypoint.
    Object,
    /// Ours: the labels of workloads.
    Labels,
}

impl TypeUrl {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Address,
        Self::Authorization,
        Self::Pod,
        Self::TrustBundle,
        Self::MeshedNamespace,
        Self::Object,
        Self::Labels,
    ];

    /// What a node agent subscribes to.
    pub const OF_AGENTS: [Self; 5] =
        [Self::Address, Self::Authorization, Self::Pod, Self::TrustBundle, Self::MeshedNamespace];

    /// What a waypoint subscribes to.
    pub const OF_WAYPOINTS: [Self; 4] = [Self::TrustBundle, Self::Object, Self::Labels, Self::Address];

    /// As it stands in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "type.googleapis.com/istio.workload.Address",
            Self::Authorization => "type.googleapis.com/istio.security.Authorization",
            Self::Pod => "type.googleapis.com/ambit.node.v1.Pod",
            Self::TrustBundle => "type.googleapis.com/ambit.node.v1.TrustBundle",
            Self::MeshedNamespace => "type.googleapis.com/ambit.node.v1.MeshedNamespace",
            Self::Object => "type.googleapis.com/ambit.config.v1.Object",
            Self::Labels => "type.googleapis.com/ambit.config.v1.Labels",
        }
    }

    /// Reads what stands in a message; nothing for a type that is not served here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Whether a caller may ask for it: some are for node agents or waypoints alone, callers of whom the
    /// authenticator says which node's or which waypoint they are.
    pub(crate) fn is_for(self, caller: &Caller) -> bool {
        let (agent, waypoint) = (caller.node.is_some(), caller.waypoint.is_some());
        match self {
            Self::Address | Self::Authorization => true,
            Self::Pod | Self::MeshedNamespace => agent,
            Self::TrustBundle => agent || waypoint,
            Self::Object | Self::Labels => waypoint,
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
