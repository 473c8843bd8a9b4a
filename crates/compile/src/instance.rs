//! A workload as the store keeps it: a pod, a WorkloadEntry, or an endpoint that some object names.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ambit_model::{HostPort, NodePod, TunnelProtocol, WaypointFailure, Workload};

use crate::Tunnels;
use crate::enrolment::Wish;
use crate::replica::Replica;
use crate::shared::Shared;
use crate::waypoint::Choice;
use crate::workload_entry::TUNNEL;

/// A workload. A hundred thousand of these are kept: what few have is in [`Rare`].
#[derive(Debug)]
pub(crate) struct Instance {
    /// As it was last compiled; before that, what the object alone says. The very allocation that
    /// snapshots hold: a workload that stays the same costs its memory once, and is seen to be the same
    /// without a look inside.
    pub(crate) workload: Arc<Workload>,
    /// What selectors see of it; nothing where none selects it.
    pub(crate) replica: Option<Arc<Replica>>,
    pub(crate) rare: Option<Box<Rare>>,
    /// Where it is written.
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
    /// The line of its addresses.
    pub(crate) addresses_line: u32,
    pub(crate) kind: InstanceKind,
    pub(crate) wish: Wish,
    /// Whether it says itself that it is captured.
    pub(crate) captured: bool,
    /// Whether its node said so later.
    pub(crate) reported: Option<bool>,
    /// Whether it is on its way out.
    pub(crate) leaving: bool,
}

/// What a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceKind {
    Pod,
    Entry,
    /// Named by an EndpointSlice or a ServiceEntry.
    Endpoint,
}

/// What few workloads have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    /// All its addresses, while the workload must do without some.
    pub(crate) written: Option<Box<[IpAddr]>>,
    /// The file of its network namespace.
    pub(crate) netns: Option<Box<Path>>,
    /// `metadata.uid`.
    pub(crate) pod_uid: Option<Arc<str>>,
    /// Ports of its node that lead to it.
    pub(crate) host_ports: Box<[HostPort]>,
    /// What it says of the time without its waypoint.
    pub(crate) waypoint_failure: Option<WaypointFailure>,
}

/// What is seen of a workload from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Face {
    pub(crate) workload: Option<Arc<Workload>>,
    pub(crate) pod: Option<NodePod>,
}

impl Instance {
    /// Its addresses as they are written.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        let written = self.rare.as_ref().and_then(|rare| rare.written.as_deref());
        written.unwrap_or(&self.workload.addresses)
    }

    /// The addresses that are its own and nobody else's.
    pub(crate) fn claims(&self) -> &[IpAddr] {
        if self.workload.host_network { &[] } else { self.addresses() }
    }

    pub(crate) fn netns(&self) -> Option<&Path> {
        self.rare.as_ref()?.netns.as_deref()
    }

    /// The workload, where it can be reached.
    pub(crate) fn published(&self) -> Option<&Arc<Workload>> {
        let is_found = !self.addresses().is_empty() || self.workload.hostname.is_some();
        is_found.then_some(&self.workload)
    }

    /// Its face, whether it is to be enrolled or not; who does not know yet tells no node of it.
    pub(crate) fn face(&self, enrol: Option<bool>) -> Face {
        let here = self.kind == InstanceKind::Pod && !self.workload.node.is_empty();
        let pod = enrol.filter(|_| here).map(|enrol| NodePod {
            workload: Arc::clone(&self.workload),
            pod_uid: self.pod_uid().cloned().unwrap_or_default(),
            enrol,
            netns: self.netns().map(Path::to_path_buf),
            host_ports: self.rare.as_ref().map(|rare| rare.host_ports.clone()).unwrap_or_default(),
        });
        Face { workload: self.published().cloned(), pod }
    }

    /// The waypoint it asks for itself. Its labels are kept for selectors.
    pub(crate) fn waypoint(&self) -> Option<Choice> {
        let replica = self.replica.as_ref()?;
        Choice::of(&self.workload.namespace, |key| replica.labels.value(key).cloned())
    }

    pub(crate) fn waypoint_failure(&self) -> Option<WaypointFailure> {
        self.rare.as_ref()?.waypoint_failure
    }

    fn pod_uid(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.pod_uid.as_ref()
    }

    /// Takes over from the version before it what its node reported, until it says so itself.
    pub(crate) fn succeed(&mut self, old: &Self) {
        let same = self.pod_uid() == old.pod_uid();
        self.reported = old.reported.filter(|reported| same && *reported != self.captured);
        // One text for key and value.
        if let Some(workload) = Arc::get_mut(&mut self.workload) {
            workload.uid = old.workload.uid.clone();
        }
    }

    /// Whether it is outside the cluster, and says that it takes tunnels.
    pub(crate) fn is_machine_with_agent(&self) -> bool {
        self.kind == InstanceKind::Entry && self.wish.enrolled == Some(true)
    }

    /// Whether it is a pod that takes tunnels itself, where it is not to be enrolled: then its agent would.
    pub(crate) fn is_native(&self, enrol: bool) -> bool {
        let label = self.replica.as_ref().and_then(|replica| replica.labels.value(TUNNEL));
        self.kind == InstanceKind::Pod && !enrol && label.is_some_and(|said| **said == *"http")
    }

    /// How it takes connections, where it is to be enrolled.
    pub(crate) fn tunnel(&self, enrol: bool, shared: &Shared) -> TunnelProtocol {
        let captured = match shared.options.tunnels {
            Tunnels::AsWished => true,
            Tunnels::AsReported => self.reported.unwrap_or(self.captured),
        };
        if self.is_native(enrol) || (enrol && captured) { TunnelProtocol::Hbone } else { TunnelProtocol::None }
    }

    /// Keeps all addresses where the workload must do without some.
    pub(crate) fn keep_written(&mut self, all: Option<Box<[IpAddr]>>) {
        if all.is_some() || self.rare.is_some() {
            let rare = self.rare.get_or_insert_default();
            rare.written = all;
            if **rare == Rare::default() {
                self.rare = None;
            }
        }
    }
}
