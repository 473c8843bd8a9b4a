//! Who may have whose certificate.

use std::sync::Arc;

use ambit_model::Identity;
use ambit_xds::Caller;

use crate::agents::{NoAgent, node_of_agent};
use crate::config::ServiceAccountName;

/// What runs where, by this replica's own view of the pods. Pods count from their scheduling to their end.
pub(crate) trait NodeIdentities: Send + Sync + 'static {
    /// The node of a pod that has not ended; `None` too if `uid` is not its `metadata.uid`.
    fn node_of_pod(&self, namespace: &str, name: &str, uid: &str) -> Option<Arc<str>>;

    /// Whether a pod of this identity is on the node.
    fn runs_on(&self, node: &str, identity: &Identity) -> bool;
}

/// The rule: everybody may have their own; a node agent may have those of the pods on its node. What node
/// that is, the token says (the pod it is bound to) and our own view of that pod confirms.
pub(super) struct Rights {
    pub(super) trust_domain: Arc<str>,
    pub(super) node_accounts: Vec<ServiceAccountName>,
    pub(super) pods: Arc<dyn NodeIdentities>,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denial {
    /// Somebody else's certificate is for node agents only.
    #[error("the caller is not a node agent")]
    NotANodeAgent,
    /// Identities of other meshes are not ours to give.
    #[error("the identity is of another trust domain")]
    TrustDomain,
    /// A token that anybody may carry anywhere says nothing of a node.
    #[error("the caller's token is not bound to a pod")]
    NotBound,
    /// The caller's pod has ended, or was replaced by another of its name.
    #[error("the caller's pod does not exist")]
    NoSuchPod,
    /// Token and cluster disagree.
    #[error("the caller's token is of another node than its pod")]
    OtherNode,
    /// No pod of the identity is on the caller's node.
    #[error("no pod of the identity runs on the caller's node")]
    NotOnNode,
}

impl From<NoAgent> for Denial {
    fn from(reason: NoAgent) -> Self {
        match reason {
            NoAgent::Account => Self::NotANodeAgent,
            NoAgent::NotBound => Self::NotBound,
            NoAgent::NoSuchPod => Self::NoSuchPod,
            NoAgent::OtherNode => Self::OtherNode,
        }
    }
}

impl Rights {
    /// The identity to certify for who asks for `asked`, or for their own.
    pub(super) fn identity(&self, caller: &Caller, asked: Option<&Identity>) -> Result<Identity, Denial> {
        let own =
            Identity::new(Arc::clone(&self.trust_domain), caller.namespace.as_str(), caller.service_account.as_str());
        let Some(asked) = asked.filter(|asked| **asked != own) else { return Ok(own) };
        let node = node_of_agent(&self.node_accounts, &*self.pods, caller);
        if node != Err(NoAgent::Account) && asked.trust_domain() != &*self.trust_domain {
            return Err(Denial::TrustDomain);
        }
        let node = node?;
        if !self.pods.runs_on(&node, asked) {
            return Err(Denial::NotOnNode);
        }
        Ok(asked.clone())
    }
}
