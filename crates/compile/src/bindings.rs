//! What the services and policies mean for each group of replicas.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ambit_model::{Authorization, Interner, PolicyKey};

use crate::Issue;
use crate::authorization::Selected;
use crate::labels::Selectors;
use crate::peer_authentication::PeerAuthentications;
use crate::replica::Replica;
use crate::service::Frontend;
use crate::shared::Services;

/// What the services and policies mean for a replica.
#[derive(Debug)]
pub(crate) struct Binding {
    /// The services it is an endpoint of.
    pub(crate) services: Arc<Services>,
    /// The policies that select it, by key.
    pub(crate) policies: Vec<PolicyKey>,
}

/// The bindings, made as they are asked for: once for all replicas of an application. Depends on
/// services and policies, and on nothing that makes one replica differ from the next.
pub(crate) struct Bindings<'a> {
    services: Selectors<'a, &'a Frontend>,
    policies: Selectors<'a, &'a PolicyKey>,
    peers: PeerAuthentications<'a>,
    shared: &'a mut Interner<Services>,
    /// By the address of the replica, of which there is one for equal ones.
    made: HashMap<*const Replica, Binding>,
}

impl<'a> Bindings<'a> {
    pub(crate) fn of(
        services: &[&'a Frontend],
        policies: &[&'a Selected],
        peers: PeerAuthentications<'a>,
        shared: &'a mut Interner<Services>,
    ) -> Self {
        Self {
            services: Selectors::of(services.iter().map(|service| service.selector())),
            policies: Selectors::of(policies.iter().map(|policy| policy.selector())),
            peers,
            shared,
            made: HashMap::new(),
        }
    }

    pub(crate) fn binding(&mut self, replica: &Arc<Replica>, issues: &mut Vec<Issue>) -> &Binding {
        match self.made.entry(Arc::as_ptr(replica)) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let services = self.services.selecting(&replica.namespace, &replica.labels);
                let services = services.filter_map(|service| service.endpoint(replica)).collect::<Services>();
                let policies = self.policies.selecting(&replica.namespace, &replica.labels);
                let mut policies: Vec<PolicyKey> = policies.map(|key| PolicyKey::clone(key)).collect();
                policies.extend(self.peers.policy_for(replica, issues));
                policies.sort();
                place.insert(Binding { services: self.shared.share(services), policies })
            }
        }
    }

    /// The policies that stand for PeerAuthentications, as far as some binding has them.
    pub(crate) fn into_policies(self) -> impl Iterator<Item = Authorization> {
        self.peers.into_policies()
    }
}
