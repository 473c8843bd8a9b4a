//! Equal strings share one allocation: a namespace's thousand pods need its name once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ambit_model::{Identity, PolicyKey, PortMapping, ServiceKey, Workload};

type Services = BTreeMap<ServiceKey, Vec<PortMapping>>;

/// Fewer strings than this are not worth a sweep.
const FIRST_SWEEP: usize = 1024;

/// The strings in use. Owned by the one who writes snapshots; what nobody uses any more is dropped when
/// the number of strings has doubled.
#[derive(Debug)]
pub struct Interner {
    texts: HashSet<Arc<str>>,
    services: HashSet<Arc<Services>>,
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self { texts: HashSet::new(), services: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Interner {
    /// The same workload, with every string that workloads are likely to have in common shared.
    #[must_use]
    pub fn workload(&mut self, workload: Workload) -> Workload {
        let identity = &workload.identity;
        let services = self.services(&workload.services);
        let policies = workload.authorization_policies.iter();
        Workload {
            authorization_policies: policies
                .map(|key| PolicyKey { namespace: self.text(&key.namespace), name: self.text(&key.name) })
                .collect(),
            namespace: self.text(&workload.namespace),
            node: self.text(&workload.node),
            identity: Identity::new(
                self.text(identity.trust_domain()),
                self.text(identity.namespace()),
                self.text(identity.service_account()),
            ),
            canonical_name: self.text(&workload.canonical_name),
            canonical_revision: self.text(&workload.canonical_revision),
            workload_name: self.text(&workload.workload_name),
            cluster: self.text(&workload.cluster),
            services,
            ..workload
        }
    }

    /// Replicas are endpoints of the same services with the same ports.
    fn services(&mut self, services: &Arc<Services>) -> Arc<Services> {
        if let Some(known) = self.services.get(services) {
            return Arc::clone(known);
        }
        let interned = services.iter().map(|(key, ports)| {
            let mut ports = ports.clone();
            ports.shrink_to_fit();
            (ServiceKey { namespace: self.text(&key.namespace), hostname: self.text(&key.hostname) }, ports)
        });
        let interned = Arc::new(interned.collect());
        self.services.insert(Arc::clone(&interned));
        interned
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= self.sweep_at {
            self.services.retain(|services| Arc::strong_count(services) > 1);
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.texts.len() * 2);
        }
        let text = Arc::<str>::from(text);
        self.texts.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{pod, policy_key, serving};

    #[test]
    fn a_workload_stays_the_same_and_shares_its_strings() {
        let mut interner = Interner::default();
        let make = |name| {
            let authorization_policies = vec![policy_key("shop/a"), policy_key("shop/b")];
            Workload { authorization_policies, ..serving(pod(name, "n1", "10.0.0.1"), "web") }
        };
        let (a, b) = (interner.workload(make("a")), interner.workload(make("b")));
        assert_eq!((&a, &b), (&make("a"), &make("b")));
        assert!(Arc::ptr_eq(&a.namespace, &b.namespace) && Arc::ptr_eq(&a.node, &b.node));
    }

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let mut interner = Interner::default();
        let shop = interner.text("shop");
        assert!(Arc::ptr_eq(&shop, &interner.text("shop")));
        for n in 0..10 * FIRST_SWEEP {
            interner.text(&n.to_string());
        }
        assert!(interner.texts.len() <= FIRST_SWEEP);
        assert!(Arc::ptr_eq(&shop, &interner.text("shop")));
    }
}
