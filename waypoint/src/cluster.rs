//! Configuration from the control plane. What it says is published at once, but nothing before it has said everything
//! there is: a policy may be in the rest. While it is away what was said stays in force.

mod mesh;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::sync::Arc;

use ambit_compile::{Issue, L7Delta, L7Options, L7Services, L7Store};
use ambit_identity::{Roots, TrustBundle};
use ambit_model::{Labels, Service, ServiceKey};
use ambit_resources::ObjectId;
use ambit_state::Snapshot;
use ambit_telemetry::AgentMetrics;
use ambit_xds::{Disconnected, Handler, Rejected, TypeUrl, Update};
use rustls::pki_types::CertificateDer;

use crate::failure::error_chain;
use crate::manifests::Name;
use crate::outlet::Outlet;
use mesh::{Mesh, Pending};

/// Takes what the control plane says, and publishes what it means.
pub(crate) struct Cluster {
    /// Of the control plane, for messages.
    address: String,
    name: Name,
    root_namespace: Arc<str>,
    mesh: Mesh,
    /// What the waypoint does; nothing before everything was said.
    l7: Option<L7Store>,
    /// Types of which all was said.
    complete: HashSet<TypeUrl>,
    /// How much is to be said about each object.
    said: BTreeMap<ObjectId, usize>,
    bundle: Arc<TrustBundle>,
    outlet: Outlet,
    metrics: AgentMetrics,
    connected: bool,
}

/// The services of a snapshot, for the compiler.
struct Services<'a>(&'a Snapshot);

impl L7Services for Services<'_> {
    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.0.service(key).cloned()
    }
}

impl Cluster {
    /// One that the control plane at `address` has not said anything to yet.
    pub(crate) fn new(
        address: String,
        (name, root_namespace): (Name, Arc<str>),
        outlet: Outlet,
        bundle: Arc<TrustBundle>,
        metrics: AgentMetrics,
    ) -> Self {
        let (mesh, complete, said) = Default::default();
        Self {
            address,
            name,
            root_namespace,
            mesh,
            l7: None,
            complete,
            said,
            bundle,
            outlet,
            metrics,
            connected: false,
        }
    }

    fn publish(&mut self) {
        if let Some(roots) = self.mesh.take_roots() {
            let roots = roots.iter().map(|root| CertificateDer::from(root.to_vec())).collect();
            self.bundle.replace(Roots::from_der(roots));
        }
        let all_said = TypeUrl::OF_WAYPOINTS.iter().all(|of| self.complete.contains(of));
        if !all_said || (self.l7.is_some() && self.mesh.is_settled()) {
            return;
        }
        let Some(mut l7) = self.l7.take().or_else(|| self.begin()) else { return };
        let before = self.outlet.current();
        let Pending { snapshot, inputs, services } = self.mesh.settle(&before.snapshot);
        let own = self.name.find(&snapshot);
        self.outlet.told(&inputs);
        let delta = l7.apply(inputs, services, &Services(&snapshot));
        self.outlet.publish(Arc::new(snapshot), Arc::new(l7.config()), own);
        self.l7 = Some(l7);
        self.say(delta);
    }

    /// Where objects are compiled. Some are for waypoints of certain labels, and a pod has none here before it has its
    /// address: nothing is begun before that.
    fn begin(&self) -> Option<L7Store> {
        let labels = match &self.name.pod {
            Some(pod) => self.mesh.labels(pod)?.clone(),
            None => Labels::default(),
        };
        let (waypoint, root_namespace) = (self.name.gateway.clone(), Arc::clone(&self.root_namespace));
        Some(L7Store::new(L7Options { waypoint, labels, root_namespace, ..L7Options::default() }))
    }

    /// Users are told by the control plane, in their objects; this is for who looks after the waypoint.
    fn say(&mut self, delta: L7Delta) {
        for (id, issues) in delta.issues {
            for issue in issues.iter().filter(|issue| Issue::is_error(issue)) {
                tracing::warn!(%issue, "an object is not in force as it was written");
            }
            if issues.is_empty() {
                self.said.remove(&id);
            } else {
                self.said.insert(id, issues.len());
            }
        }
        let issues = self.said.values().sum::<usize>();
        self.metrics.config_issues.set(i64::try_from(issues).unwrap_or(i64::MAX));
    }
}

impl Handler for Cluster {
    fn apply(&mut self, update: Update) -> Result<(), Vec<Rejected>> {
        let Update { type_url, resources, removed, first_complete } = update;
        let mut rejected = Vec::new();
        for resource in resources {
            if let Err(error) = self.mesh.put(type_url, &resource.name, resource.body) {
                tracing::error!(%type_url, name = &*resource.name, error = error_chain(&error), "refused a resource");
                rejected.push(Rejected { name: resource.name.to_string(), reason: error.to_string() });
            }
        }
        for name in removed {
            if let Err(error) = self.mesh.remove(type_url, &name) {
                tracing::error!(%type_url, %error, "the control plane removed what cannot have been there");
            }
        }
        if first_complete {
            self.complete.insert(type_url);
        }
        self.publish();
        if rejected.is_empty() { Ok(()) } else { Err(rejected) }
    }

    fn connected(&mut self) {
        self.connected = true;
        tracing::info!(address = self.address, "connected to the control plane");
    }

    fn disconnected(&mut self, why: &Disconnected) {
        let reason = error_chain(why as &dyn Error);
        // One line for each connection lost, not for each attempt that fails thereafter.
        if std::mem::take(&mut self.connected) {
            tracing::warn!(address = self.address, reason, "lost the control plane; what is in force stays so");
        } else {
            tracing::debug!(address = self.address, reason, "the control plane cannot be reached");
        }
        if self.l7.is_none() {
            self.outlet.problem(format!("nothing is in force yet: the control plane at {}: {reason}", self.address));
        }
    }
}
