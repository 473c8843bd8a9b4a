//! Compiles what is marked, and says what came out otherwise than before.

use std::sync::Arc;

use ambit_l7::ServiceRules;
use ambit_model::ServiceKey;
use ambit_resources::ObjectId;

use super::held::Meaning;
use super::index::Ordered;
use super::issues::Reason;
use super::{L7Delta, L7Store, Marked};
use crate::l7::targets::{Target, targets_of};

impl L7Store {
    pub(super) fn settle(&mut self) -> L7Delta {
        let Marked { services, traffic, default, cost, statuses } = std::mem::take(&mut self.marked);
        self.marked.statuses = statuses;
        let mut delta = L7Delta { default, cost, ..L7Delta::default() };
        if default {
            self.compile_default();
        }
        delta.cost.services = services.len();
        for key in services {
            if self.compile_service(&key) {
                delta.services.push(key);
            }
        }
        delta.cost.traffic = traffic.len();
        for key in traffic {
            if self.compile_traffic(&key) {
                delta.traffic.push(key);
            }
        }
        delta.routes = self.statuses();
        delta.issues = self.issues.changed();
        delta.cost.routed = std::mem::take(&mut self.marked.cost.routed);
        delta
    }

    /// What is in force where a service says nothing: what is attached to the waypoint.
    fn compile_default(&mut self) {
        let mut rules = ServiceRules::default();
        let all: Vec<_> = self.index.targets.of(&Target::Waypoint).cloned().collect();
        for (_, id) in &all {
            self.add_policy(id, None, &mut rules);
        }
        rules.telemetry = self.telemetry(all.iter().map(|(_, id)| id));
        if *self.config.default != rules {
            self.config.default = Arc::new(rules);
        }
    }

    /// Says whether anything is otherwise than before.
    fn compile_service(&mut self, key: &ServiceKey) -> bool {
        // Said again below, unless the limit has nothing to do with the service any more.
        for id in self.misplaced.remove(key).unwrap_or_default() {
            self.issues.for_reason(&id, Reason::Service(key.clone()), Vec::new());
        }
        let service = self.bound.contains(key).then(|| self.directory.service(key).cloned()).flatten();
        let Some(service) = service else {
            self.unroute(key);
            return self.config.services.remove(key).is_some();
        };
        let mut rules = self.route(&service);
        let mut attached = self.attached_to(&targets_of(&service, &self.options));
        attached.extend(self.limits_of_routes(key));
        for (_, id) in &attached {
            self.add_policy(id, Some(&service), &mut rules);
        }
        rules.telemetry = self.telemetry(attached.iter().map(|(_, id)| id));
        let before = self.config.services.get(key).map(|before| &**before);
        if before == Some(&rules) {
            return false;
        }
        if rules == *self.config.default {
            return self.config.services.remove(key).is_some();
        }
        self.config.services.insert(key.clone(), Arc::new(rules));
        true
    }

    /// The limits of what routes a service, delegates among it.
    fn limits_of_routes(&self, key: &ServiceKey) -> Vec<Ordered> {
        let mut limits = Vec::new();
        for id in self.routing.get(key).into_iter().flatten() {
            limits.extend(self.index.limited.of(id).cloned());
            if let Some(Meaning::VirtualService(of)) = self.objects.get(id).map(|held| &held.means) {
                limits.extend(of.delegates().flat_map(|id| self.index.limited.of(id)).cloned());
            }
        }
        limits
    }

    /// What is attached to any of some targets, each once, the oldest first.
    pub(super) fn attached_to(&self, targets: &[Target]) -> std::collections::BTreeSet<super::index::Ordered> {
        targets.iter().flat_map(|target| self.index.targets.of(target)).cloned().collect()
    }

    /// An object of which something is to be said again.
    pub(super) fn unsay_merged(&mut self, ids: &[ObjectId]) {
        for id in ids {
            self.issues.for_reason(id, super::issues::Reason::Merged(ids.to_vec()), Vec::new());
        }
    }
}
