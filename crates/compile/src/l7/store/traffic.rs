//! How services are used: the DestinationRules in force for each.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_l7::Traffic;
use ambit_model::{Service, ServiceKey};
use ambit_resources::ObjectId;

use super::L7Store;
use super::held::{Held, Meaning};
use super::issues::Reason;
use crate::l7::cx::Cx;
use crate::l7::destination_rule::{DestinationRule, hidden, merge};
use crate::l7::hosts::patterns_of;
use crate::l7::own_wish::with_own_wish;

/// What rules mean together: a rule for all hosts of a namespace is compiled once, not once for each.
#[derive(Debug, Default)]
pub(super) struct Merged {
    by_rules: HashMap<Vec<ObjectId>, Arc<Traffic>>,
}

impl Merged {
    /// Forgets what a rule is a part of; says what that was.
    pub(super) fn forget(&mut self, id: &ObjectId) -> Vec<Vec<ObjectId>> {
        let gone: Vec<_> = self.by_rules.keys().filter(|ids| ids.contains(id)).cloned().collect();
        gone.iter().for_each(|ids| drop(self.by_rules.remove(ids)));
        gone
    }
}

impl L7Store {
    /// Says whether anything is otherwise than before.
    pub(super) fn compile_traffic(&mut self, key: &ServiceKey) -> bool {
        let service = self.directory.service(key).cloned();
        let now = service.and_then(|service| {
            let traffic = self.traffic(&self.destination_rules(&service));
            with_own_wish(self.secured(&service, traffic), &service)
        });
        match now {
            Some(now) if self.config.traffic.get(key) == Some(&now) => false,
            Some(now) => {
                self.config.traffic.insert(key.clone(), now);
                true
            }
            None => self.config.traffic.remove(key).is_some(),
        }
    }

    /// The rules in force for a service, the oldest first. See [`crate::l7::destination_rule`].
    fn destination_rules(&self, service: &Service) -> Vec<ObjectId> {
        let own = &service.key.namespace;
        let default = &self.mesh.exports.destination_rules;
        let namespaces = [&self.options.waypoint.namespace, own, &self.options.root_namespace];
        let seen = |id: &&ObjectId| {
            let rule = self.destination_rule(id);
            rule.is_some_and(|(rule, _)| rule.is_seen(&id.namespace, own, default, &self.options))
        };
        for namespace in namespaces {
            for pattern in patterns_of(&service.key.hostname) {
                let here = self.index.rules.of(&pattern).map(|(_, id)| id);
                let here: Vec<_> = here.filter(|id| id.namespace == *namespace).filter(seen).cloned().collect();
                if !here.is_empty() {
                    return here;
                }
            }
        }
        Vec::new()
    }

    fn destination_rule(&self, id: &ObjectId) -> Option<(&DestinationRule, &Held)> {
        let held = self.objects.get(id)?;
        let Meaning::DestinationRule(rule) = &held.means else { return None };
        Some((rule, held))
    }

    /// What rules mean together.
    fn traffic(&mut self, ids: &[ObjectId]) -> Option<Arc<Traffic>> {
        if let Some(known) = self.merged.by_rules.get(ids) {
            return Some(Arc::clone(known));
        }
        let mut expressions = std::mem::take(&mut self.expressions);
        let held: Vec<_> = ids.iter().filter_map(|id| self.destination_rule(id)).collect();
        let rules: Vec<_> = held.iter().map(|(rule, _)| *rule).collect();
        let mut said = Vec::new();
        for (i, (rule, held)) in held.iter().enumerate() {
            let mut cx = Cx::of(&held.origin, &self.options, &mut expressions);
            hidden(rule, rules.get(..i).unwrap_or_default(), &mut cx);
            said.push((held.origin.id.clone(), cx.findings.issues));
        }
        let made = held.first().and_then(|(_, first)| {
            // What is wrong with a rule was said of its own object.
            merge(&rules, &mut Cx::of(&first.origin, &self.options, &mut expressions))
        });
        self.expressions = expressions;
        for (id, issues) in said {
            self.issues.for_reason(&id, Reason::Merged(ids.to_vec()), issues);
        }
        let made = Arc::new(made?);
        self.merged.by_rules.insert(ids.to_vec(), Arc::clone(&made));
        Some(made)
    }
}
