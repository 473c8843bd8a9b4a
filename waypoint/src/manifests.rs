//! What a folder of manifests means to a waypoint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_compile::{Compiled, Input, Issue, L7Delta, L7Options, L7Services, L7Store, Options, Store};
use ambit_folder::Manifests;
use ambit_model::{GatewayKey, Identity, Service, ServiceKey, WorkloadUid};
use ambit_resources::{Documents, Kind, ObjectId, Parsed, TargetRef};
use ambit_runtime::Readiness;
use ambit_state::Snapshot;
use ambit_telemetry::AgentMetrics;
use anyhow::bail;

use crate::config::{Config, SourceConfig};
use crate::in_force::Own;
use crate::outlet::{self, Outlet};
use crate::routes;

/// Who this waypoint is, as its operator says.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// The Gateway it stands for.
    pub(crate) gateway: GatewayKey,
    /// Its pod's workload, in a cluster.
    pub(crate) pod: Option<WorkloadUid>,
    /// Else its own address, where several endpoints have its service.
    pub(crate) address: Option<IpAddr>,
    /// The first part of its identity.
    pub(crate) trust_domain: Arc<str>,
}

impl Name {
    /// The service whose endpoints the waypoints of this Gateway are.
    pub(crate) fn service(&self) -> ServiceKey {
        let GatewayKey { namespace, name } = &self.gateway;
        let hostname = format!("{name}.{namespace}.svc.cluster.local").into();
        ServiceKey { namespace: Arc::clone(namespace), hostname }
    }

    /// The waypoint among the mesh's workloads. One that is not there yet is taken for what the deployer makes: a
    /// service account of the Gateway's name.
    pub(crate) fn find(&self, snapshot: &Snapshot) -> Own {
        let service = self.service();
        let workload = match (&self.pod, self.address) {
            (Some(pod), _) => snapshot.workload(pod),
            (None, Some(address)) => snapshot.workload_by_ip(address),
            (None, None) => snapshot.endpoints(&service).first(),
        };
        let GatewayKey { namespace, name } = &self.gateway;
        let identity = workload.map_or_else(
            || Identity::new(Arc::clone(&self.trust_domain), Arc::clone(namespace), Arc::clone(name)),
            |workload| workload.identity.clone(),
        );
        Own { service, identity, workload: workload.cloned() }
    }
}

/// The manifests of a folder, and where what they say is published.
pub(crate) struct Standalone {
    name: Name,
    /// For the mesh.
    store: Store,
    /// For what the waypoint does.
    l7: L7Store,
    l7_options: L7Options,
    /// The objects of each file. Of one in several, the first file's is in force.
    files: BTreeMap<String, BTreeMap<ObjectId, Parsed>>,
    /// What was read of each file.
    documents: BTreeMap<String, Documents>,
    /// The objects of each file that cannot be read, and what they are attached to.
    refused: BTreeMap<String, BTreeMap<ObjectId, Vec<TargetRef>>>,
    services: Services,
    /// What is to be said about objects, as far as the waypoint is concerned.
    said: BTreeMap<ObjectId, Vec<Issue>>,
    outlet: Outlet,
    metrics: AgentMetrics,
}

/// The mesh's services, as they were compiled last.
#[derive(Default)]
struct Services(BTreeMap<ServiceKey, Arc<Service>>);

impl L7Services for Services {
    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.0.get(key).cloned()
    }
}

impl Standalone {
    /// No manifests yet.
    pub(crate) fn new(name: Name, options: Options, outlet: Outlet, metrics: AgentMetrics) -> Self {
        let waypoint = name.gateway.clone();
        let root_namespace = Arc::clone(&options.root_namespace);
        let l7_options = L7Options { waypoint, root_namespace, ..L7Options::default() };
        Self {
            name,
            store: Store::new(options),
            l7: L7Store::new(l7_options.clone()),
            l7_options,
            files: BTreeMap::new(),
            documents: BTreeMap::new(),
            refused: BTreeMap::new(),
            services: Services::default(),
            said: BTreeMap::new(),
            outlet,
            metrics,
        }
    }

    /// Puts the first file's version of each of these objects in force, and closes what policies without any valid
    /// version are attached to.
    fn settle(&mut self, touched: &BTreeSet<ObjectId>) {
        let first = |id: &ObjectId| self.files.values().find_map(|objects| objects.get(id));
        let mut inputs: Vec<_> = touched
            .iter()
            .map(|id| match first(id) {
                Some(parsed) => Input::Put(Box::new(parsed.clone()), Vec::new()),
                None => Input::Remove(id.clone()),
            })
            .collect();
        let never_valid = self.refused.values().flatten().filter(|(id, _)| first(id).is_none());
        inputs.extend(never_valid.map(|(id, targets)| Input::Refused(id.clone(), targets.clone(), Vec::new())));
        self.outlet.told(&inputs);
        let delta = self.l7.apply(inputs, [], &self.services);
        self.take_down(delta);
    }

    /// What keeps policies among these objects out of force.
    fn hidden_policies<'a>(&self, ids: impl Iterator<Item = &'a ObjectId>) -> Vec<Issue> {
        let hides_policy = |id: &&ObjectId| matches!(id.kind, Kind::AuthorizationPolicy | Kind::RequestAuthentication);
        let said = ids.filter(hides_policy).filter_map(|id| self.said.get(id)).flatten();
        said.filter(|issue| issue.is_error()).cloned().collect()
    }

    fn take_down(&mut self, delta: L7Delta) {
        for (id, issues) in delta.issues {
            if issues.is_empty() {
                self.said.remove(&id);
            } else {
                self.said.insert(id, issues);
            }
        }
    }

    /// Compiles all objects anew, now that the waypoint's own pod is known. Returns the services, all of them. Later on
    /// labels stay as they are: what was valid once and is no longer would be lost with the store.
    fn begin_again(&mut self, labels: BTreeMap<Arc<str>, Arc<str>>) -> Vec<ServiceKey> {
        self.l7_options.labels = labels;
        self.l7 = L7Store::new(self.l7_options.clone());
        self.said.clear();
        let readable = self.files.values().flat_map(BTreeMap::keys);
        let all = readable.chain(self.refused.values().flat_map(BTreeMap::keys)).cloned().collect();
        self.settle(&all);
        self.services.0.keys().cloned().collect()
    }

    /// The services that are not as they were.
    fn replace_services(&mut self, services: &[Arc<Service>]) -> Vec<ServiceKey> {
        let now: BTreeMap<_, _> = services.iter().map(|service| (service.key.clone(), Arc::clone(service))).collect();
        let before = std::mem::replace(&mut self.services, Services(now)).0;
        let now = &self.services.0;
        let is_new = |key: &&ServiceKey| !before.get(*key).zip(now.get(*key)).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        let gone = before.keys().filter(|key| !now.contains_key(*key));
        now.keys().filter(is_new).chain(gone).cloned().collect()
    }
}

impl Manifests for Standalone {
    fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue> {
        let parsed = self.documents.entry(name.to_owned()).or_default().read(name, text);
        let mut issues = self.store.replace_parsed(name, parsed.clone());
        let before = self.files.remove(name).unwrap_or_default();
        let mut now: BTreeMap<_, _> = BTreeMap::new();
        for object in parsed.objects {
            now.entry(object.origin.id.clone()).or_insert(object);
        }
        // What cannot be read stays as it was, and so does what such a part may be hiding.
        for (id, object) in before.iter().filter(|(id, _)| parsed.unreadable || parsed.refused.contains_key(id)) {
            now.entry(id.clone()).or_insert_with(|| object.clone());
        }
        let all: BTreeSet<_> = before.keys().chain(now.keys()).cloned().collect();
        let mut touched: BTreeSet<_> = all.iter().filter(|id| before.get(id) != now.get(id)).cloned().collect();
        self.files.insert(name.to_owned(), now);
        let mut refused = parsed.refused;
        for (id, targets) in self.refused.remove(name).unwrap_or_default() {
            if parsed.unreadable {
                refused.entry(id).or_insert(targets);
            } else {
                touched.insert(id);
            }
        }
        self.refused.insert(name.to_owned(), refused);
        self.settle(&touched);
        issues.extend(self.hidden_policies(all.union(&touched)));
        issues
    }

    fn remove_file(&mut self, name: &str) {
        self.store.remove_file(name);
        self.documents.remove(name);
        let mut touched: BTreeSet<_> = self.files.remove(name).unwrap_or_default().into_keys().collect();
        touched.extend(self.refused.remove(name).unwrap_or_default().into_keys());
        self.settle(&touched);
    }

    fn publish(&mut self) -> Vec<Issue> {
        let Compiled { workloads, services, authorizations, mut issues, .. } = self.store.compile();
        let changed = self.replace_services(&services);
        let before = self.outlet.current();
        let (snapshot, _) = before.snapshot.replace_all(workloads, services, authorizations);
        let own = self.name.find(&snapshot);
        let changed = match own.workload.as_ref().map(|own| (*own.labels).clone()) {
            Some(labels) if self.l7_options.labels.is_empty() && !labels.is_empty() => self.begin_again(labels),
            Some(_) | None => changed,
        };
        let delta = self.l7.apply([], changed, &self.services);
        self.take_down(delta);
        issues.extend(self.said.values().flatten().cloned());
        self.metrics.config_issues.set(i64::try_from(issues.len()).unwrap_or(i64::MAX));
        self.outlet.publish(Arc::new(snapshot), Arc::new(self.l7.config()), own);
        issues
    }

    fn problem(&mut self, problem: String) {
        self.outlet.problem(problem);
    }
}

/// Reads a folder once; gives what would be in force, for people, and what is to be said about it.
pub(crate) fn check(config: Config) -> anyhow::Result<(String, Vec<Issue>)> {
    let SourceConfig::Folder { path, .. } = config.source else { bail!("--check-config reads a folder: --config") };
    let (outlet, published) = outlet::channel(config.name.service(), Readiness::default().condition("configuration"));
    let mut manifests = Standalone::new(config.name, config.options, outlet, AgentMetrics::default());
    let mut issues = Vec::new();
    for (name, text) in ambit_folder::read(&path)? {
        issues.extend(manifests.replace_file(&name, &text));
    }
    issues.extend(manifests.publish());
    Ok((routes::yaml(&published.load()), issues))
}

#[cfg(test)]
mod tests {
    use ambit_l7::HttpAuthorizationAction;

    use super::*;

    #[test]
    fn a_policy_that_was_never_valid_is_closed_as_long_as_it_is_there() {
        const BROKEN: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
            metadata: {name: p, namespace: shop}\nspec:\n  \
            targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}]\n  rulez: [{}]\n";
        let gateway = GatewayKey { namespace: "shop".into(), name: "waypoint".into() };
        let name = Name { gateway, pod: None, address: None, trust_domain: "cluster.local".into() };
        let (outlet, _published) = outlet::channel(name.service(), Readiness::default().condition("configuration"));
        let mut manifests = Standalone::new(name, Options::default(), outlet, AgentMetrics::default());
        let valid = BROKEN.replace("rulez", "rules");
        for (file, text, expected) in [
            ("a.yaml", Some(BROKEN), Some(HttpAuthorizationAction::Deny)),
            ("b.yaml", Some(BROKEN), Some(HttpAuthorizationAction::Deny)),
            ("a.yaml", None, Some(HttpAuthorizationAction::Deny)),
            ("b.yaml", Some(""), None),
            ("b.yaml", Some(BROKEN), Some(HttpAuthorizationAction::Deny)),
            ("b.yaml", Some(&valid), Some(HttpAuthorizationAction::Allow)),
            ("b.yaml", Some(BROKEN), Some(HttpAuthorizationAction::Allow)),
            ("b.yaml", None, None),
        ] {
            match text {
                Some(text) => drop(manifests.replace_file(file, text)),
                None => manifests.remove_file(file),
            }
            let config = manifests.l7.config();
            let found = config.default.authorization.first().map(|policy| policy.action.clone());
            assert_eq!(found, expected, "{file} {text:?}");
        }
    }
}
