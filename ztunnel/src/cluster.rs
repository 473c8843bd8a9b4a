//! Configuration from the control plane. What it says is published at once; what the CNI plugin tells of
//! pods on this node is joined with it; all of it is kept for the next start.
//!
//! Nothing is published before the control plane has said everything there is, so that nobody is let go
//! for want of a word on him. While it is away at the start, the last good state takes its place.

mod client;
#[cfg(test)]
pub(crate) mod fixtures;
mod held;
mod last_good;
mod mesh;
mod overlay;
mod sandboxes;
mod stand_in;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ambit_identity::{Roots, TrustBundle};
use ambit_model::{NodePod, WorkloadUid};
use ambit_xds::{Rejected, TypeUrl, Update};
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::outlet::Outlet;
use held::{Held, Kept};
use mesh::Mesh;

pub(crate) use client::follow;
pub(crate) use last_good::LastGood;
pub(crate) use sandboxes::Sandbox;

/// What must have been said completely before anything is published.
const NEEDED: [TypeUrl; 3] = [TypeUrl::Address, TypeUrl::Authorization, TypeUrl::Pod];

/// The source of cluster mode, shared by whoever has something to say: the discovery client and the CNI
/// plugin's server.
pub(crate) struct Cluster {
    inner: Mutex<Inner>,
    outlet: Outlet,
    bundle: Arc<TrustBundle>,
    meshed: watch::Sender<Option<Arc<BTreeSet<Arc<str>>>>>,
    /// Told of changes of the resources in force.
    changed: Notify,
    /// Told of those among them that the next start should not do without: this node's pods, policy, trust.
    urgent: Notify,
}

#[derive(Default)]
struct Inner {
    mesh: Mesh,
    /// Types of which all was said.
    complete: HashSet<TypeUrl>,
    /// Whether there is a last good state to fall back on.
    kept: bool,
    /// Whether anything was published yet.
    open: bool,
}

impl Cluster {
    /// A source that nothing was said to yet, but what was kept.
    pub(crate) fn new(outlet: Outlet, bundle: Arc<TrustBundle>, kept: Option<&Held>) -> Self {
        let mut inner = Inner { kept: kept.is_some(), ..Inner::default() };
        for (of, name, kept) in kept.into_iter().flat_map(Held::iter) {
            if let Err(error) = inner.mesh.put(of, name, kept.clone()) {
                tracing::warn!(%error, "passing over a resource that was kept");
            }
        }
        let (meshed, _) = watch::channel(None);
        Self { inner: Mutex::new(inner), outlet, bundle, meshed, changed: Notify::new(), urgent: Notify::new() }
    }

    /// Takes a change, and says what of it is not valid.
    pub(crate) fn take(&self, update: Update) -> Result<(), Vec<Rejected>> {
        let Update { type_url, resources, removed, first_complete } = update;
        let mut inner = self.lock();
        let mut urgent = !inner.open || type_url != TypeUrl::Address;
        let mut rejected = Vec::new();
        for resource in resources {
            let kept = Kept { version: resource.version, body: resource.body };
            urgent |= inner.mesh.is_own(&resource.name);
            if let Err(error) = inner.mesh.put(type_url, &resource.name, kept) {
                if inner.mesh.lacks(type_url, &resource.name) {
                    tracing::error!(%error, "cannot read a policy; everything it may mean is denied until it can be");
                } else {
                    tracing::error!(%type_url, %error, "refused a resource; what was valid of that name stays in force");
                }
                rejected.push(Rejected { name: resource.name.to_string(), reason: error.fault.to_string() });
            }
        }
        for name in removed {
            urgent |= inner.mesh.is_own(&name);
            if let Err(error) = inner.mesh.remove(type_url, &name) {
                tracing::error!(%type_url, %error, "the control plane removed what cannot have been there");
            }
        }
        if first_complete {
            inner.complete.insert(type_url);
        }
        self.publish(&mut inner);
        // What is kept is complete, or the next start would do without what is missing.
        if inner.open {
            let whom = if urgent { &self.urgent } else { &self.changed };
            whom.notify_one();
        }
        if rejected.is_empty() { Ok(()) } else { Err(rejected) }
    }

    /// Publishes the last good state, if nothing was published yet: the control plane is away.
    pub(crate) fn fall_back(&self, why: &str) {
        let mut inner = self.lock();
        if inner.open {
            return;
        }
        if inner.kept {
            tracing::warn!(why, "the control plane is away: the last good state is in force");
            inner.open = true;
            self.publish(&mut inner);
        } else {
            self.outlet.problem(format!("nothing is in force yet: {why}"));
        }
    }

    /// A pod has its network.
    pub(crate) fn add_sandbox(&self, namespace: &str, pod: &str, sandbox: Sandbox) {
        let mut inner = self.lock();
        inner.mesh.add_sandbox(namespace, pod, sandbox);
        self.publish(&mut inner);
    }

    /// A pod is about to lose its network. Gives the pod, if it was known by that one.
    pub(crate) fn end_sandbox(&self, namespace: &str, pod: &str, container_id: &str) -> Option<WorkloadUid> {
        let mut inner = self.lock();
        let ended = inner.mesh.end_sandbox(namespace, pod, container_id);
        self.publish(&mut inner);
        ended
    }

    /// A pod of this node; none before it is known which there are.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<NodePod> {
        let inner = self.lock();
        inner.mesh.pod(namespace, name).filter(|_| inner.open).cloned()
    }

    /// Namespaces whose pods are meshed; none while it is not known which they are.
    pub(crate) fn meshed(&self) -> watch::Receiver<Option<Arc<BTreeSet<Arc<str>>>>> {
        self.meshed.subscribe()
    }

    /// Told of each publication.
    pub(crate) fn publications(&self) -> watch::Receiver<u64> {
        self.outlet.version.subscribe()
    }

    /// What need not be sent again.
    pub(crate) fn versions(&self) -> ambit_xds::Held {
        self.lock().mesh.held().versions()
    }

    /// Waits for a change, then gives the resources in force: at once where the next start should not do
    /// without it, not before `others` for any other.
    pub(crate) async fn next_held(&self, others: Instant) -> Held {
        let late = async {
            self.changed.notified().await;
            sleep_until(others).await;
        };
        tokio::select! {
            () = self.urgent.notified() => {}
            () = late => {}
        }
        self.lock().mesh.held().clone()
    }

    fn publish(&self, inner: &mut Inner) {
        if !inner.open {
            if !NEEDED.iter().all(|needed| inner.complete.contains(needed)) {
                return;
            }
            inner.open = true;
        }
        if let Some(roots) = inner.mesh.take_roots() {
            let roots = roots.iter().map(|root: &Bytes| CertificateDer::from(root.to_vec())).collect();
            self.bundle.replace(Roots::from_der(roots));
        }
        let (snapshot, _) = self.outlet.state.load().apply(inner.mesh.take_steps());
        self.outlet.publish(snapshot, inner.mesh.local_pods());
        if inner.kept || inner.complete.contains(&TypeUrl::MeshedNamespace) {
            let meshed = inner.mesh.meshed();
            self.meshed.send_if_modified(|known| {
                let differs = known.as_deref() != Some(meshed);
                if differs {
                    *known = Some(Arc::new(meshed.clone()));
                }
                differs
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
