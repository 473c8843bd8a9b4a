//! What routes of one service: VirtualServices and routes of the Gateway API.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::{HttpRule, ServiceRules};
use ambit_model::{Service, ServiceKey};
use ambit_resources::{ObjectId, Origin};

use super::L7Store;
use super::gateway_api::{Lost, is_route};
use super::held::{Held, Meaning};
use super::issues::Reason;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::gateway_api::{RouteProblem, ServiceParent, as_without_routes};
use crate::l7::hosts::patterns_of;
use crate::l7::targets::targets_of;
use crate::l7::virtual_service::{LookUp, Rules, VirtualService};

/// What an object routes of a service.
#[derive(Debug)]
pub(super) struct Routed {
    rules: Arc<Rules>,
    /// Whether it is to be looked up again. What comes out the same is shared with this.
    pub(super) is_stale: bool,
}

impl L7Store {
    /// What all objects route of a service: routes of the Gateway API, where there are any for it; else the
    /// VirtualServices that name its host most exactly, the oldest first.
    pub(super) fn route(&mut self, service: &Arc<Service>) -> ServiceRules {
        let attached = self.attached_to(&targets_of(service, &self.options));
        let mut ids: Vec<_> = attached.into_iter().map(|(_, id)| id).filter(is_route).collect();
        let merged = self.merge_routes(service, &ids);
        let virtual_services = self.virtual_services(service);
        for id in &virtual_services {
            let host = || Arc::clone(&service.key.hostname);
            let problem = merged.is_some().then(|| RouteProblem::RoutedOtherwise { host: host() }.into());
            self.outrank(id, &service.key, problem.into_iter().collect());
        }
        let rules = merged.unwrap_or_else(|| self.of_virtual_services(service, &virtual_services));
        ids.extend(virtual_services);
        self.replace_routing(&service.key, ids.into_iter().collect());
        rules
    }

    fn of_virtual_services(&mut self, service: &Arc<Service>, ids: &[ObjectId]) -> ServiceRules {
        let mut rules = ServiceRules::default();
        for id in ids {
            let Some(routed) = self.look_up(id, service) else { continue };
            rules.http.extend(routed.http.iter().cloned());
            rules.tls.extend(routed.tls.iter().cloned());
            rules.tcp.extend(routed.tcp.iter().cloned());
        }
        let may_match = |rule: &HttpRule, port: u16| {
            rule.matches.is_empty() || rule.matches.iter().any(|found| found.port.is_none_or(|wanted| wanted == port))
        };
        // As in the field, a port that no rule is about is served as if there were none at all.
        let ports = service.ports.iter().map(|of| of.port).filter(|_| !rules.http.is_empty());
        let untouched: Vec<_> = ports.filter(|port| !rules.http.iter().any(|rule| may_match(rule, *port))).collect();
        let several = service.ports.len() > 1;
        rules.http.extend(untouched.into_iter().map(|port| Arc::new(as_without_routes(service, port, several))));
        rules
    }

    /// Nothing routes a service any more.
    pub(super) fn unroute(&mut self, service: &ServiceKey) {
        self.replace_routing(service, BTreeSet::new());
        self.replace_lost(service, Lost::new());
    }

    /// The VirtualServices in force for a service, the oldest first.
    fn virtual_services(&mut self, service: &Service) -> Vec<ObjectId> {
        let (hostname, namespace) = (&service.key.hostname, &*service.key.namespace);
        let mut in_force = Vec::new();
        for pattern in patterns_of(hostname) {
            let here: Vec<_> = self.index.routes.of(&pattern).map(|(_, id)| id.clone()).collect();
            for id in here {
                let Some(Held { origin, means: Meaning::VirtualService(of), .. }) = self.objects.get(&id) else {
                    continue;
                };
                let default = &self.mesh.exports.virtual_services;
                if of.is_seen(&id.namespace, namespace, &self.options.waypoint.namespace, default) {
                    in_force.push(id);
                } else if !pattern.is_wildcard() {
                    let mut cx = Cx::of(origin, &self.options, &mut self.expressions);
                    let (host, waypoint) = (Arc::clone(hostname), self.options.waypoint.clone());
                    cx.warning(&At::SPEC, L7Problem::ForeignNamespace { host, waypoint });
                    let reason = Reason::Service(service.key.clone());
                    self.issues.for_reason(&id, reason, cx.findings.issues);
                }
            }
            if !in_force.is_empty() {
                break;
            }
        }
        in_force
    }

    /// What an object routes of a service, as it was found out before, if nothing it depends on has changed.
    pub(super) fn look_up(&mut self, id: &ObjectId, service: &Arc<Service>) -> Option<Arc<Rules>> {
        let before = self.routed.get(id).and_then(|by_service| by_service.get(&service.key));
        if let Some(Routed { rules, is_stale: false }) = before {
            return Some(Arc::clone(rules));
        }
        let held = self.objects.get(id)?;
        let delegates = |id: &ObjectId| delegate(self.objects.get(id)?);
        let last = before.map(|routed| &*routed.rules);
        let exports = &*self.mesh.exports.virtual_services;
        let with = LookUp { service, directory: &self.directory, before: last, delegates: &delegates, exports };
        let mut cx = Cx::of(&held.origin, &self.options, &mut self.expressions);
        let mut rules = match &held.means {
            Meaning::VirtualService(of) => of.rules(&with, &mut cx),
            Meaning::Route(of) => {
                of.rules(&ServiceParent::of(service, &self.options, &self.admission), &self.directory, &mut cx)
            }
            Meaning::Nothing
            | Meaning::DestinationRule(_)
            | Meaning::Policy(_)
            | Meaning::Tokens(_)
            | Meaning::BackendTls(_)
            | Meaning::Credential(_)
            | Meaning::Limits(_)
            | Meaning::Telemetry(_)
            | Meaning::Admits
            | Meaning::Mesh => return None,
        };
        let issues = cx.findings.issues;
        self.marked.cost.routed += 1;
        let none = Rules::default();
        let before = before.map_or(&none, |before| &*before.rules);
        rules.share(before);
        before.looked_up.difference(&rules.looked_up).for_each(|name| self.index.looked_up.change(name, id, false));
        rules.looked_up.difference(&before.looked_up).for_each(|name| self.index.looked_up.change(name, id, true));
        self.issues.for_reason(id, Reason::Service(service.key.clone()), issues);
        let rules = Arc::new(rules);
        let routed = Routed { rules: Arc::clone(&rules), is_stale: false };
        self.routed.entry(id.clone()).or_default().insert(service.key.clone(), routed);
        Some(rules)
    }

    /// What an object routes is to be looked up again.
    pub(super) fn stale(&mut self, id: &ObjectId) {
        let by_service = self.routed.get_mut(id);
        by_service.into_iter().flatten().for_each(|(_, routed)| routed.is_stale = true);
    }

    /// Forgets what objects routed of a service that do so no more.
    fn replace_routing(&mut self, service: &ServiceKey, now: BTreeSet<ObjectId>) {
        let before = self.routing.remove(service).unwrap_or_default();
        for id in before.difference(&now) {
            self.issues.for_reason(id, Reason::Service(service.clone()), Vec::new());
            self.issues.for_reason(id, Reason::Outranked(service.clone()), Vec::new());
            let Some(by_service) = self.routed.get_mut(id) else { continue };
            let gone = by_service.remove(service);
            if by_service.is_empty() {
                self.routed.remove(id);
                let names = gone.iter().flat_map(|gone| &gone.rules.looked_up);
                names.for_each(|name| self.index.looked_up.change(name, id, false));
            }
        }
        if !now.is_empty() {
            self.routing.insert(service.clone(), now);
        }
    }
}

fn delegate(held: &Held) -> Option<(Arc<VirtualService>, Arc<Origin>)> {
    let Meaning::VirtualService(of) = &held.means else { return None };
    Some((Arc::clone(of), Arc::clone(&held.origin)))
}
