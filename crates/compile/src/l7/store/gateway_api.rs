//! Routes of the Gateway API: which of them count for a service, and what is to be said to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_l7::{ServiceRules, Traffic};
use ambit_model::{Service, ServiceKey};
use ambit_resources::mesh_config::GatewayTopology;
use ambit_resources::{Kind, ObjectId};

use super::L7Store;
use super::held::{Admits, Meaning};
use super::issues::Reason;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::gateway_api::{
    Attached, BackendTls, Known, Merged, Route, RouteProblem, RouteStatus, ServiceParent, merge, secured, why_refused,
};
use crate::l7::targets::{Target, targets_of};
use crate::l7::topology;

/// Ports that routes did not get, since another kind has them.
pub(super) type Lost = BTreeMap<ObjectId, BTreeMap<u16, Kind>>;

impl L7Store {
    /// What routes come to for a service; nothing where none of them is about it.
    pub(super) fn merge_routes(&mut self, service: &Arc<Service>, ids: &[ObjectId]) -> Option<ServiceRules> {
        let parent = ServiceParent::of(service, &self.options, &self.admission);
        let scope = |id: &ObjectId| match self.objects.get(id).map(|held| &held.means) {
            Some(Meaning::Route(route)) => route.scope(id, &parent),
            _ => None,
        };
        let scopes: Vec<_> = ids.iter().map(scope).collect();
        let mut attached = Vec::with_capacity(ids.len());
        for (id, scope) in ids.iter().zip(scopes) {
            // Looked up all the same: what it depends on may be what keeps it away.
            let rules = self.look_up(id, service);
            attached.extend(scope.zip(rules).map(|(scope, rules)| Attached { id: id.clone(), scope, rules }));
        }
        let Merged { rules, lost } = merge(service, &attached);
        self.replace_lost(&service.key, lost);
        (!attached.is_empty()).then_some(rules)
    }

    /// Why an object does not count for a service, though it is for it.
    pub(super) fn outrank(&mut self, id: &ObjectId, service: &ServiceKey, problems: Vec<L7Problem>) {
        let mut issues = Vec::new();
        if let Some(held) = self.objects.get(id).filter(|_| !problems.is_empty()) {
            let mut cx = Cx::of(&held.origin, &self.options, &mut self.expressions);
            problems.into_iter().for_each(|problem| cx.warning(&At::SPEC, problem));
            issues = cx.findings.issues;
        }
        self.issues.for_reason(id, Reason::Outranked(service.clone()), issues);
    }

    /// The ports of a service that routes did not get.
    pub(super) fn replace_lost(&mut self, service: &ServiceKey, now: Lost) {
        let before = self.lost.remove(service).unwrap_or_default();
        let ids: BTreeSet<_> = before.keys().chain(now.keys()).collect();
        for id in ids {
            let lost = now.get(id);
            if before.get(id) != lost {
                self.marked.statuses.insert(id.clone());
            }
            let conflict = |(port, winner): (&u16, &Kind)| RouteProblem::Conflict { winner: *winner, port: *port };
            self.outrank(id, service, lost.into_iter().flatten().map(|lost| conflict(lost).into()).collect());
        }
        if !now.is_empty() {
            self.lost.insert(service.clone(), now);
        }
    }

    /// Something is otherwise than before for routes that are attached to a service.
    pub(super) fn mark_statuses_of(&mut self, service: &Service) {
        let [_, own] = targets_of(service, &self.options);
        let routes = self.index.targets.of(&own).map(|(_, id)| id).filter(|id| is_route(id));
        self.marked.statuses.extend(routes.cloned());
    }

    /// What an object says of who is admitted comes, changes or goes.
    pub(super) fn admit(&mut self, id: &ObjectId, admits: Option<Admits>) {
        match (id.kind, admits) {
            (Kind::ReferenceGrant, None) => self.admission.grant(id, None),
            (Kind::Gateway, None) => {
                self.admission.listen(None);
                self.place(None);
            }
            (_, None) => self.admission.label(&id.name, None),
            (_, Some(Admits::Grant(grant))) => self.admission.grant(id, Some(grant)),
            (_, Some(Admits::Gateway(listeners, topology))) => {
                self.admission.listen(Some(listeners));
                self.place(Some(topology));
            }
            (_, Some(Admits::Namespace(metadata))) => self.admission.label(&id.name, Some(&metadata)),
        }
        self.admission_changed();
    }

    /// What the waypoint's Gateway says of what stands before it is otherwise than before.
    fn place(&mut self, topology: Option<GatewayTopology>) {
        self.gateway = topology.unwrap_or_default();
        self.place_anew();
    }

    /// The same for what either the Gateway or the mesh configuration says of it.
    pub(super) fn place_anew(&mut self) {
        let topology = topology::merge(&self.gateway, &self.mesh.topology);
        if std::mem::replace(&mut self.config.topology, topology) != topology {
            self.marked.default = true;
        }
    }

    /// Marks how the services are used that a policy is for.
    pub(super) fn mark_traffic(&mut self, target: &Target) {
        match target {
            Target::Waypoint => {}
            Target::Service(namespace, name) => {
                let hostname = format!("{name}.{namespace}.svc.{}", self.options.cluster_domain).into();
                self.marked.traffic.insert(ServiceKey { namespace: Arc::clone(namespace), hostname });
            }
            Target::Entry(namespace, name) => {
                let of = |service: &&Arc<Service>| service.key.namespace == *namespace && service.name == *name;
                self.marked.traffic.extend(self.directory.services().filter(of).map(|service| service.key.clone()));
            }
        }
    }

    /// Who may be attached to the waypoint, or refer to what of another namespace, is otherwise than before.
    fn admission_changed(&mut self) {
        let routes = self.index.targets.of(&Target::Waypoint).map(|(_, id)| id).filter(|id| is_route(id));
        let routes: Vec<_> = routes.cloned().collect();
        routes.iter().for_each(|id| self.mark_routes(id));
    }

    /// What is to be said to routes, where that is something else than before.
    pub(super) fn statuses(&mut self) -> Vec<(ObjectId, Option<RouteStatus>)> {
        let mut changed = Vec::new();
        for id in std::mem::take(&mut self.marked.statuses) {
            let now = self.status(&id);
            let before = match &now {
                Some(now) => self.statuses.insert(id.clone(), now.clone()),
                None => self.statuses.remove(&id),
            };
            if before != now {
                changed.push((id, now));
            }
        }
        changed
    }

    fn status(&self, id: &ObjectId) -> Option<RouteStatus> {
        let (route, refused): (&Route, _) = match (self.refused.get(id), self.objects.get(id).map(|held| &held.means)) {
            (Some(route), _) => (route, why_refused(self.issues.of(id))),
            (None, Some(Meaning::Route(route))) => (route, why_refused(self.issues.of(id))),
            _ => return None,
        };
        let lost = |service: &ServiceKey| self.lost.get(service)?.get(id);
        let known = Known {
            options: &self.options,
            directory: &self.directory,
            bound: &self.bound,
            admission: &self.admission,
            lost: &lost,
            refused,
        };
        route.status(id, &known)
    }

    /// How a service is used, with the TLS that policies of the Gateway API ask for.
    pub(super) fn secured(&mut self, service: &Service, traffic: Option<Arc<Traffic>>) -> Option<Arc<Traffic>> {
        let [_, own] = targets_of(service, &self.options);
        let ids: Vec<_> = self.index.tls.of(&own).map(|(_, id)| id.clone()).collect();
        let policies: Vec<_> = ids.iter().filter_map(|id| self.backend_tls(id)).collect();
        for (i, (id, policy)) in ids.iter().zip(&policies).enumerate() {
            let older = policies.get(..i).unwrap_or_default();
            let winner = policy.hidden_by(&own, older).map(|winner| L7Problem::OlderWins { winner });
            self.outrank(id, &service.key, winner.into_iter().collect());
        }
        secured(traffic, service, &own, &policies)
    }

    fn backend_tls(&self, id: &ObjectId) -> Option<Arc<BackendTls>> {
        match self.objects.get(id).map(|held| &held.means) {
            Some(Meaning::BackendTls(policy)) => Some(Arc::clone(policy)),
            _ => None,
        }
    }
}

/// Whether an object is a route of the Gateway API.
pub(super) fn is_route(id: &ObjectId) -> bool {
    matches!(id.kind, Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute)
}
