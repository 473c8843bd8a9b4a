//! What a folder of manifests means to this agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_compile::{Compiled, Issue, Options, Store};
use ambit_folder::{FolderError, Manifests};

use crate::outlet::{LocalPod, Outlet, Place};

/// The manifests of a folder, and where what they say is published.
pub(crate) struct Standalone {
    node: String,
    store: Store,
    outlet: Outlet,
}

impl Standalone {
    /// No manifests yet.
    pub(crate) fn new(node: String, options: Options, outlet: Outlet) -> Self {
        Self { node, store: Store::new(options), outlet }
    }
}

impl Manifests for Standalone {
    fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue> {
        self.store.replace_file(name, text)
    }

    fn remove_file(&mut self, name: &str) {
        self.store.remove_file(name);
    }

    fn publish(&mut self) -> Vec<Issue> {
        let compiled = self.store.compile();
        self.outlet.metrics.config_issues.set(i64::try_from(compiled.issues.len()).unwrap_or(i64::MAX));
        let pods = local_pods(&compiled, &self.node);
        let Compiled { workloads, services, authorizations, issues, .. } = compiled;
        let (snapshot, changes) = self.outlet.state.load().replace_all(workloads, services, authorizations);
        tracing::debug!(
            workloads = changes.workloads.len(),
            services = changes.services.len(),
            policies = changes.policies.len(),
            "publishing changes"
        );
        self.outlet.publish(snapshot, pods);
        issues
    }

    fn problem(&mut self, problem: String) {
        self.outlet.problem(problem);
    }
}

/// The pods to enrol on a node.
pub(crate) fn local_pods(compiled: &Compiled, node: &str) -> Arc<[LocalPod]> {
    let here = compiled.enrolled().filter(|workload| *workload.node == *node);
    here.map(|workload| LocalPod {
        uid: workload.uid.clone(),
        pod_uid: Arc::default(),
        enrol: true,
        ended: false,
        host_ports: Box::default(),
        netns: compiled.netns.get(&workload.uid).map(|path| Place::File(path.to_path_buf())),
    })
    .collect()
}

/// Reads a folder once.
pub(crate) fn check(path: &Path, options: Options) -> Result<(Compiled, Vec<Issue>), FolderError> {
    let mut store = Store::new(options);
    let mut issues = Vec::new();
    for (name, text) in ambit_folder::read(path)? {
        issues.extend(store.replace_file(&name, &text));
    }
    let compiled = store.compile();
    issues.extend(compiled.issues.iter().cloned());
    Ok((compiled, issues))
}

/// What the folder is compiled with.
pub(crate) fn options(trust_domain: &str, cluster: &str, root_namespace: &str) -> Options {
    Options {
        trust_domain: trust_domain.into(),
        cluster: cluster.into(),
        root_namespace: root_namespace.into(),
        ..Options::default()
    }
}

/// Where a node's copies are, in the state folder.
pub(crate) fn saved(state: &Path, node: &str) -> PathBuf {
    state.join("manifests").join(node)
}
