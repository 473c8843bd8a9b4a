//! Objects and services come, change and go, and mark what depends on them.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::{Service, ServiceKey};
use ambit_resources::{FieldPath, Lines, Object, ObjectId, Origin, Parsed, TargetRef};

use super::L7Store;
use super::gateway_api::is_route;
use super::held::{Held, Meaning, Prepared, attached, prepare};
use crate::l7::L7Problem;
use crate::l7::authorization::Policy;
use crate::l7::cx::Cx;
use crate::l7::hosts::HostPattern;
use crate::l7::mesh_config::Mesh;
use crate::l7::request_authentication::Tokens;
use crate::l7::targets::{Target, targets};
use crate::l7::telemetry::Telemetry;
use crate::{Input, Issue, Problem};

impl L7Store {
    pub(super) fn take_in(&mut self, input: Input) {
        let about = match &input {
            Input::Put(parsed, _) => Some(&parsed.origin.id),
            Input::Refused(id, ..) | Input::Remove(id) => Some(id),
            Input::Enrolled { .. } => None,
        };
        self.marked.statuses.extend(about.filter(|id| is_route(id)).cloned());
        match input {
            Input::Put(parsed, read) => {
                let Parsed { origin, object } = *parsed;
                let read = read.into_iter().map(|issue| issue.map(Problem::Read)).collect();
                self.judge(Arc::new(origin), &object, read);
            }
            Input::Refused(id, targets, read) => {
                let issues = read.into_iter().map(|issue| issue.map(Problem::Read)).collect();
                self.refuse(id, &targets, issues);
            }
            Input::Remove(id) => {
                self.take(&id);
                self.refused.remove(&id);
                self.issues.own(&id, Vec::new());
            }
            Input::Enrolled { .. } => {}
        }
    }

    /// An object that cannot be read. A policy that was never valid is closed, as if it could be.
    fn refuse(&mut self, id: ObjectId, attached: &[TargetRef], mut issues: Vec<Issue>) {
        let file = issues.first().map_or_else(|| Arc::from(""), |issue| Arc::clone(&issue.file));
        let origin = Arc::new(Origin { id: id.clone(), file, lines: Lines::default() });
        let kept = self.objects.get(&id).is_some_and(|held| !held.is_closed());
        let mut cx = Cx::of(&origin, &self.options, &mut self.expressions);
        let closed = targets(None, attached, &mut cx).filter(|_| !kept).map(|targets| Policy::deny_all(targets, &cx));
        issues.extend(after_errors(&issues, after(closed.is_some(), kept)));
        self.issues.own(&id, issues);
        if let Some(closed) = closed {
            self.hold(Held { origin, created: None, means: Meaning::Policy(Box::new(closed)) });
        }
    }

    /// Puts an object in force, if it is valid. If it is not, its last version stays; a policy that has none
    /// denies everything.
    fn judge(&mut self, origin: Arc<ambit_resources::Origin>, object: &Object, mut issues: Vec<Issue>) {
        self.marked.cost.objects += 1;
        let id = origin.id.clone();
        let mut cx = Cx::of(&origin, &self.options, &mut self.expressions);
        if let Some(Held { means: Meaning::VirtualService(before), .. }) = self.objects.get(&id) {
            cx.before = Some(Arc::clone(before));
        }
        let Prepared { created, mut means, mesh, admits } = prepare(object, &mut cx);
        issues.append(&mut cx.findings.issues);
        if issues.iter().any(Issue::is_error) {
            let kept = self.objects.get(&id).is_some_and(|held| !held.is_closed());
            let closed = attached(object, &mut cx).filter(|_| !kept).map(|targets| Policy::deny_all(targets, &cx));
            issues.extend(after_errors(&issues, after(closed.is_some(), kept)));
            self.issues.own(&id, issues);
            if let Meaning::Route(route) = means {
                self.refused.insert(id.clone(), route);
            }
            let Some(closed) = closed else { return };
            means = Meaning::Policy(Box::new(closed));
        } else {
            self.issues.own(&id, issues);
        }
        self.hold(Held { origin, created, means });
        if let Some(mesh) = mesh {
            self.replace_mesh(mesh);
        }
        if let Some(admits) = admits {
            self.admit(&id, Some(admits));
        }
    }

    /// Puts an object in force, in place of the version before it.
    fn hold(&mut self, held: Held) {
        let id = held.origin.id.clone();
        self.take(&id);
        self.refused.remove(&id);
        self.objects.insert(id.clone(), held);
        self.change(&id, true);
    }

    /// Takes an object out of force.
    fn take(&mut self, id: &ObjectId) {
        self.issues.forget_together(id);
        if !self.objects.contains_key(id) {
            return;
        }
        self.change(id, false);
        let held = self.objects.remove(id);
        match held.map(|held| held.means) {
            Some(Meaning::Mesh) => self.replace_mesh(Mesh::default()),
            Some(Meaning::Admits) => self.admit(id, None),
            _ => {}
        }
        self.authorizations.remove(id);
        self.limits.remove(id);
        // What a version before this one routed is kept: rules that come out the same are not made again.
    }

    /// The meaning of an object comes, or goes.
    fn change(&mut self, id: &ObjectId, comes: bool) {
        let Some(held) = self.objects.get(id) else { return };
        let ordered = (held.created.clone(), id.clone());
        match &held.means {
            Meaning::Nothing | Meaning::Mesh | Meaning::Admits => {}
            Meaning::Credential(of) => {
                let of = of.clone();
                self.change_credential(id, Some(of).filter(|_| comes));
            }
            Meaning::BackendTls(of) => {
                let of = Arc::clone(of);
                self.change_named(id, comes);
                for (target, _) in &of.targets {
                    self.index.tls.change(target, &ordered, comes);
                    self.mark_traffic(target);
                }
            }
            Meaning::VirtualService(of) => {
                let of = Arc::clone(of);
                of.hosts.iter().for_each(|host| self.index.routes.change(host, &ordered, comes));
                of.delegates().for_each(|to| self.index.delegating.change(to, id, comes));
                of.hosts.iter().for_each(|host| self.mark_host(host));
                let roots: Vec<_> = self.index.delegating.of(id).cloned().collect();
                roots.iter().for_each(|root| self.mark_routes(root));
                self.stale(id);
            }
            Meaning::DestinationRule(of) => {
                for host in &of.hosts {
                    self.index.rules.change(host, &ordered, comes);
                    self.marked.traffic.extend(self.directory.matching(host).map(|service| service.key.clone()));
                }
                self.change_named(id, comes);
                for ids in self.merged.forget(id) {
                    self.unsay_merged(&ids);
                }
            }
            Meaning::Route(of) => {
                let of = Arc::clone(of);
                of.targets.iter().for_each(|target| self.change_target(target, &ordered, comes));
                self.stale(id);
            }
            Meaning::Tokens(Tokens { targets, .. }) | Meaning::Telemetry(Telemetry { targets, .. }) => {
                let targets = targets.clone();
                targets.iter().for_each(|target| self.change_target(target, &ordered, comes));
            }
            Meaning::Limits(of) => {
                of.names.iter().for_each(|name| self.index.looked_up.change(name, id, comes));
                of.attachment.targets().for_each(|target| self.index.targets.change(target, &ordered, comes));
                of.attachment.routes().for_each(|route| self.index.limited.change(route, &ordered, comes));
                self.mark_limited(id);
            }
            Meaning::Policy(of) => {
                let targets = of.targets.clone();
                if comes && of.provider.is_some() {
                    self.index.with_provider.insert(id.clone());
                } else {
                    self.index.with_provider.remove(id);
                }
                targets.iter().for_each(|target| self.change_target(target, &ordered, comes));
            }
        }
    }

    fn change_target(&mut self, target: &Target, ordered: &super::index::Ordered, comes: bool) {
        self.index.targets.change(target, ordered, comes);
        self.mark_target(target);
    }

    /// Marks the services that something is attached to.
    fn mark_target(&mut self, target: &Target) {
        match target {
            Target::Waypoint => {
                self.marked.default = true;
                self.marked.services.extend(self.bound.iter().cloned());
            }
            Target::Service(namespace, name) => {
                let hostname = format!("{name}.{namespace}.svc.{}", self.options.cluster_domain).into();
                let key = ServiceKey { namespace: Arc::clone(namespace), hostname };
                self.marked.services.extend(self.bound.get(&key).cloned());
            }
            Target::Entry(namespace, name) => {
                let of = |key: &&ServiceKey| {
                    let service = self.directory.service(key);
                    key.namespace == *namespace && service.is_some_and(|service| service.name == *name)
                };
                self.marked.services.extend(self.bound.iter().filter(of).cloned());
            }
        }
    }

    /// Marks the services that an object routes something of, by itself or as a delegate.
    fn mark_routed(&mut self, id: &ObjectId) {
        let routing = self.index.delegating.of(id).chain([id]);
        let services = routing.filter_map(|id| self.routed.get(id)).flat_map(HashMap::keys);
        self.marked.services.extend(services.cloned());
    }

    /// Marks what a policy on limits is attached to.
    fn mark_limited(&mut self, id: &ObjectId) {
        let Some(Meaning::Limits(of)) = self.objects.get(id).map(|held| &held.means) else { return };
        let targets: Vec<_> = of.attachment.targets().cloned().collect();
        let routes: Vec<_> = of.attachment.routes().cloned().collect();
        targets.iter().for_each(|target| self.mark_target(target));
        routes.iter().for_each(|id| self.mark_routed(id));
    }

    /// Marks the services of the waypoint that a host is about.
    fn mark_host(&mut self, host: &HostPattern) {
        let bound = self.directory.matching(host).map(|service| &service.key);
        self.marked.services.extend(bound.filter(|key| self.bound.contains(*key)).cloned());
    }

    /// What an object routes is to be looked up again.
    pub(super) fn mark_routes(&mut self, id: &ObjectId) {
        self.stale(id);
        if is_route(id) {
            self.marked.statuses.insert(id.clone());
        }
        match self.objects.get(id).map(|held| &held.means) {
            Some(Meaning::VirtualService(of)) => {
                let of = Arc::clone(of);
                of.hosts.iter().for_each(|host| self.mark_host(host));
            }
            Some(Meaning::Route(of)) => {
                let of = Arc::clone(of);
                of.targets.iter().for_each(|target| self.mark_target(target));
            }
            Some(Meaning::Limits(_)) => {
                self.limits.remove(id);
                self.mark_limited(id);
            }
            Some(Meaning::Policy(of)) => {
                let targets = of.targets.clone();
                self.authorizations.remove(id);
                targets.iter().for_each(|target| self.mark_target(target));
            }
            _ => {}
        }
    }

    fn replace_mesh(&mut self, mesh: Mesh) {
        if self.mesh == mesh {
            return;
        }
        let before = std::mem::replace(&mut self.mesh, mesh);
        if before.reporting != self.mesh.reporting {
            self.mark_target(&Target::Waypoint);
        }
        if before.exports != self.mesh.exports {
            self.look_everywhere();
        }
        let paths = self.mesh.path_normalization;
        if std::mem::replace(&mut self.config.path_normalization, paths) != paths {
            self.marked.default = true;
        }
        let retry = self.mesh.retry.as_ref().unwrap_or(&self.options.default_retry);
        if self.config.retry.as_deref() != Some(retry) {
            self.config.retry = Some(Arc::new(retry.clone()));
            self.marked.default = true;
        }
        self.place_anew();
        let asking: Vec<_> = self.index.with_provider.iter().cloned().collect();
        asking.iter().for_each(|id| self.mark_routes(id));
    }

    /// Whatever does not say who sees it may be seen by others.
    fn look_everywhere(&mut self) {
        self.marked.traffic.extend(self.directory.services().map(|service| service.key.clone()));
        self.mark_target(&Target::Waypoint);
        let routes: Vec<_> = self.routed.keys().cloned().collect();
        routes.iter().for_each(|id| self.stale(id));
    }

    /// A service came, changed or went.
    pub(super) fn service_changed(&mut self, key: &ServiceKey, now: Option<Arc<Service>>) {
        let bound = now.as_ref().is_some_and(|service| self.serves(service));
        let before = self.directory.replace(key, now.clone());
        if before == now {
            return;
        }
        if let Some(service) = now.as_deref().or(before.as_deref()) {
            self.mark_statuses_of(service);
        }
        let was_bound = if bound { !self.bound.insert(key.clone()) } else { self.bound.remove(key) };
        if bound || was_bound {
            self.marked.services.insert(key.clone());
        }
        self.marked.traffic.insert(key.clone());
        for id in self.routing.get(key).into_iter().flatten() {
            if let Some(routed) = self.routed.get_mut(id).and_then(|by_service| by_service.get_mut(key)) {
                routed.is_stale = true;
            }
        }
        // A port that came or went may be one that somebody asks for.
        let hostname = &key.hostname;
        let asking: Vec<_> = match hostname.starts_with('*') {
            false => self.index.looked_up.of(hostname).cloned().collect(),
            true => {
                let end = hostname.trim_start_matches('*').to_owned();
                self.index.looked_up.of_all(move |name| name.ends_with(&end)).cloned().collect()
            }
        };
        asking.iter().for_each(|id| self.mark_routes(id));
    }

    /// Whether a service is bound to this waypoint.
    fn serves(&self, service: &Service) -> bool {
        let waypoint = &self.options.waypoint;
        let own = || format!("{}.{}.svc.{}", waypoint.name, waypoint.namespace, self.options.cluster_domain);
        let mut bound = service.waypoints().filter_map(|waypoint| waypoint.service());
        bound.any(|bound| bound.namespace == waypoint.namespace && *bound.hostname == *own())
    }
}

/// What the errors of an object come to.
fn after(is_closed: bool, kept: bool) -> Problem {
    match (is_closed, kept) {
        (true, _) => L7Problem::DeniesAll.into(),
        (false, true) => Problem::LastVersionKept,
        (false, false) => Problem::NotInForce,
    }
}

/// What the errors of an object come to, said at the first of them.
fn after_errors(issues: &[Issue], problem: Problem) -> Option<Issue> {
    let first = issues.iter().find(|issue| issue.is_error())?;
    Some(Issue { field: FieldPath::default(), problem, ..first.clone() })
}
