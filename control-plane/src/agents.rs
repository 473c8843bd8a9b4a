//! Which callers are node agents, and of which node; and which are waypoints.

use std::sync::Arc;

use ambit_xds::{AuthError, Authenticator, Caller};

use crate::certificates::NodeIdentities;
use crate::config::ServiceAccountName;
use crate::pods::Pods;
use crate::waypoints::Gateways;

/// Whose word on a node counts: a service account that agents run as, by a token bound to one of its pods, for
/// the node that this pod is on by our own view. The token's own claim of a node is not enough (any pod's
/// token has one), nor is it needed (before Kubernetes 1.30 none has).
#[derive(Debug, Clone)]
pub(crate) struct Agents {
    /// The accounts.
    pub(crate) accounts: Vec<ServiceAccountName>,
    /// Who runs where.
    pub(crate) pods: Arc<Pods>,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAgent {
    /// Everybody else's account.
    #[error("the caller does not run as a node agent")]
    Account,
    /// A token that anybody may carry anywhere says nothing of a node.
    #[error("the token is bound to no pod")]
    NotBound,
    /// The pod has ended, was replaced by another of its name, or is too new to be known.
    #[error("the caller's pod does not exist")]
    NoSuchPod,
    /// Token and cluster disagree.
    #[error("the token is of another node than its pod")]
    OtherNode,
}

impl Agents {
    /// The node whose agent a caller is that is as its token says.
    pub(crate) fn node(&self, caller: &Caller) -> Result<Arc<str>, NoAgent> {
        node_of_agent(&self.accounts, &*self.pods, caller)
    }
}

/// The rule itself; certificates are issued by it, too.
pub(crate) fn node_of_agent(
    accounts: &[ServiceAccountName],
    pods: &(impl NodeIdentities + ?Sized),
    caller: &Caller,
) -> Result<Arc<str>, NoAgent> {
    let is_caller =
        |account: &ServiceAccountName| account.namespace == caller.namespace && account.name == caller.service_account;
    if !accounts.iter().any(is_caller) {
        return Err(NoAgent::Account);
    }
    let pod = caller.pod.as_ref().ok_or(NoAgent::NotBound)?;
    let node = pods.node_of_pod(&caller.namespace, &pod.name, &pod.uid).ok_or(NoAgent::NoSuchPod)?;
    if caller.node.as_deref().is_some_and(|claimed| *claimed != *node) {
        return Err(NoAgent::OtherNode);
    }
    Ok(node)
}

/// Callers by their tokens, with a node if, and only if, they are its agent; with a waypoint if they are one of its
/// pods, by our own view of the pod and of the Gateway it says it is of. Who may make pods in a namespace may make one
/// of a waypoint there.
pub(crate) struct Callers<A> {
    /// Says whose a token is.
    pub(crate) tokens: Arc<A>,
    /// Says who of them is an agent.
    pub(crate) agents: Agents,
    /// Which Gateways are waypoints.
    pub(crate) gateways: Arc<Gateways>,
}

impl<A> Callers<A> {
    fn waypoint(&self, caller: &Caller) -> Option<String> {
        let pod = caller.pod.as_ref()?;
        let gateway = self.agents.pods.gateway_of_pod(&caller.namespace, &pod.name, &pod.uid)?;
        self.gateways.is_waypoint(&gateway).then(|| gateway.to_string())
    }
}

impl<A: Authenticator> Authenticator for Callers<A> {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        let caller = self.tokens.authenticate(token).await?;
        let node = match self.agents.node(&caller) {
            Ok(node) => Some(node.to_string()),
            Err(NoAgent::Account) => None,
            Err(reason) => {
                let Caller { namespace, service_account, .. } = &caller;
                tracing::warn!(namespace, service_account, %reason, "a node agent's account, and not taken for one");
                None
            }
        };
        let waypoint = self.waypoint(&caller).filter(|_| node.is_none());
        Ok(Caller { node, waypoint, ..caller })
    }
}

#[cfg(test)]
mod tests {
    use ambit_resources::{Kind, Metadata, ObjectId, Pod, PodSpec};
    use ambit_xds::BoundPod;
    use serde_json::json;

    use super::*;
    use crate::waypoints::gateways::{CLASS, GATEWAY_NAME};

    /// Believes everybody to be who they say.
    struct Says(Caller);

    impl Authenticator for Says {
        async fn authenticate(&self, _token: &str) -> Result<Caller, AuthError> {
            Ok(self.0.clone())
        }
    }

    fn agents() -> Agents {
        let pods = Pods::new("Kubernetes".into(), "cluster.local".into());
        for (namespace, name) in [("ambit-system", "agent"), ("shop", "web")] {
            let metadata = Metadata { uid: format!("uid of {name}"), ..Metadata::default() };
            let spec = PodSpec { node_name: "n1".to_owned(), ..PodSpec::default() };
            pods.put(&namespace.into(), &name.into(), &Pod { metadata, spec, ..Pod::default() });
        }
        Agents { accounts: vec!["ambit-system/ztunnel".parse().unwrap()], pods: Arc::new(pods) }
    }

    #[tokio::test]
    async fn only_an_agent_whose_pod_is_there_has_a_node_and_it_is_the_pods() {
        let caller = |namespace: &str, account: &str, pod: Option<(&str, &str)>, node: Option<&str>| Caller {
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
            pod: pod.map(|(name, uid)| BoundPod { name: name.to_owned(), uid: uid.to_owned() }),
            node: node.map(str::to_owned),
            waypoint: None,
        };
        let agent = Some(("agent", "uid of agent"));
        for (caller, expected) in [
            (caller("ambit-system", "ztunnel", agent, Some("n1")), Ok("n1")),
            (caller("ambit-system", "ztunnel", agent, None), Ok("n1")),
            (caller("ambit-system", "ztunnel", agent, Some("n2")), Err(NoAgent::OtherNode)),
            (caller("ambit-system", "ztunnel", None, Some("n1")), Err(NoAgent::NotBound)),
            (caller("ambit-system", "ztunnel", Some(("agent", "another's")), Some("n1")), Err(NoAgent::NoSuchPod)),
            (caller("ambit-system", "ztunnel", Some(("gone", "x")), Some("n1")), Err(NoAgent::NoSuchPod)),
            (caller("ambit-system", "default", agent, Some("n1")), Err(NoAgent::Account)),
            (caller("shop", "ztunnel", Some(("web", "uid of web")), Some("n1")), Err(NoAgent::Account)),
            (caller("shop", "web", Some(("web", "uid of web")), Some("n1")), Err(NoAgent::Account)),
        ] {
            let agents = agents();
            assert_eq!(agents.node(&caller).as_deref(), expected.as_ref().copied(), "{caller:?}");
            let callers = Callers { tokens: Arc::new(Says(caller.clone())), agents, gateways: Arc::default() };
            let node = expected.ok().map(str::to_owned);
            assert_eq!(callers.authenticate("any").await, Ok(Caller { node, ..caller }));
        }
    }

    #[tokio::test]
    async fn only_a_pod_of_a_gateway_that_is_a_waypoint_is_one() {
        let (agents, gateways) = (agents(), Arc::<Gateways>::default());
        let put = |namespace: &str, name: &str, gateway: &str| {
            let labels = [(GATEWAY_NAME.to_owned(), gateway.to_owned())].into();
            let metadata = Metadata { uid: format!("uid of {name}"), labels, ..Metadata::default() };
            let spec = PodSpec { node_name: "n1".to_owned(), ..PodSpec::default() };
            agents.pods.put(&namespace.into(), &name.into(), &Pod { metadata, spec, ..Pod::default() });
        };
        put("shop", "wp-1", "wp");
        put("shop", "gone-1", "gone");
        put("other", "wp-2", "wp");
        put("ambit-system", "agent", "wp");
        for namespace in ["shop", "ambit-system"] {
            let id = ObjectId { kind: Kind::Gateway, namespace: namespace.into(), name: "wp".into() };
            gateways.put(&id, json!({ "spec": { "gatewayClassName": CLASS } }));
        }
        for (namespace, account, pod, uid, expected) in [
            ("shop", "wp", "wp-1", "uid of wp-1", Some("shop/wp")),
            ("shop", "any", "wp-1", "uid of wp-1", Some("shop/wp")),
            ("shop", "wp", "wp-1", "another's", None),
            ("shop", "wp", "web", "uid of web", None),
            ("shop", "wp", "gone-1", "uid of gone-1", None),
            ("other", "wp", "wp-2", "uid of wp-2", None),
            // An agent is no waypoint, whatever its labels.
            ("ambit-system", "ztunnel", "agent", "uid of agent", None),
        ] {
            let (name, uid) = (pod.to_owned(), uid.to_owned());
            let (namespace, service_account) = (namespace.to_owned(), account.to_owned());
            let pod = Some(BoundPod { name, uid });
            let caller = Caller { namespace, service_account, pod, node: None, waypoint: None };
            let (tokens, agents) = (Arc::new(Says(caller.clone())), agents.clone());
            let callers = Callers { tokens, agents, gateways: Arc::clone(&gateways) };
            let found = callers.authenticate("any").await.unwrap();
            assert_eq!(found.waypoint.as_deref(), expected, "{caller:?}");
        }
    }
}
