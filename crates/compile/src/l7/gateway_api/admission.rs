//! Who may be attached to the waypoint, and who may refer to what of another namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::Interner;
use ambit_resources::gateway_api::{AllowedRoutes, GROUP, GatewaySpec, ReferenceGrantSpec};
use ambit_resources::{Kind, Metadata, ObjectId};

use crate::labels::Labels;
use crate::waypoint::{self, Admits};

/// Who may be attached to the waypoint, and who may refer to what of another namespace.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// By the namespace they are in.
    grants: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Grant>>,
    /// The waypoint's own, once they are known.
    listeners: Option<Listeners>,
    /// The labels of namespaces, where those of routes are chosen by them.
    namespaces: BTreeMap<Arc<str>, Labels>,
}

/// Leave for routes of other namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Grant {
    /// Kinds and namespaces of those that refer.
    from: BTreeSet<(Arc<str>, Arc<str>)>,
    /// The services they may refer to; none: all.
    names: BTreeSet<Arc<str>>,
    all: bool,
}

impl Grant {
    /// What a grant says of routes and services.
    pub(crate) fn prepare(spec: &ReferenceGrantSpec) -> Self {
        let from = spec.from.iter().filter(|from| from.group == GROUP);
        let services = || spec.to.iter().filter(|to| matches!(to.group.as_str(), "" | "core") && to.kind == "Service");
        Self {
            from: from.map(|from| (from.kind.as_str().into(), from.namespace.as_str().into())).collect(),
            names: services().filter_map(|to| to.name.as_deref()).map(Arc::from).collect(),
            all: services().any(|to| to.name.is_none()),
        }
    }

    fn permits(&self, from: &ObjectId, name: &str) -> bool {
        let known =
            |(kind, namespace): &(Arc<str>, Arc<str>)| **kind == *from.kind.word() && *namespace == from.namespace;
        (self.all || self.names.contains(name)) && self.from.iter().any(known)
    }
}

/// What a waypoint listens on.
#[derive(Debug)]
pub(crate) struct Listeners(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    name: Arc<str>,
    port: u16,
    admits: Admits,
    /// None: all kinds.
    kinds: BTreeSet<Arc<str>>,
}

impl Listeners {
    /// What the waypoint's Gateway says.
    pub(crate) fn prepare(spec: &GatewaySpec) -> Self {
        let mut texts = Interner::default();
        let kinds = |allowed: &AllowedRoutes| {
            let known = allowed.kinds.iter().filter(|kind| kind.group.is_empty() || kind.group == GROUP);
            known.map(|kind| kind.kind.as_str().into()).collect()
        };
        let listener = |listener: &ambit_resources::gateway_api::Listener| Listener {
            name: listener.name.as_str().into(),
            port: listener.port,
            admits: waypoint::admits(Some(listener), &mut texts),
            kinds: listener.allowed_routes.as_ref().map(kinds).unwrap_or_default(),
        };
        Self(spec.listeners.iter().map(listener).collect())
    }
}

/// Why a route is not attached to the waypoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no such listener.
    NoListener,
    /// None of the listeners asked for takes it.
    NotAllowed,
}

impl Admission {
    pub(crate) fn grant(&mut self, id: &ObjectId, grant: Option<Grant>) {
        match grant {
            Some(grant) => {
                self.grants.entry(Arc::clone(&id.namespace)).or_default().insert(Arc::clone(&id.name), grant);
            }
            None => {
                if let Some(here) = self.grants.get_mut(&id.namespace) {
                    here.remove(&id.name);
                }
            }
        }
    }

    pub(crate) fn listen(&mut self, listeners: Option<Listeners>) {
        self.listeners = listeners;
    }

    pub(crate) fn label(&mut self, namespace: &Arc<str>, metadata: Option<&Metadata>) {
        match metadata {
            Some(metadata) => {
                let labels = waypoint::namespace_labels(namespace, metadata, &mut Interner::default());
                self.namespaces.insert(Arc::clone(namespace), labels);
            }
            None => drop(self.namespaces.remove(namespace)),
        }
    }

    /// Whether an object may refer to a service of another namespace.
    pub(super) fn permits(&self, from: &ObjectId, namespace: &str, name: &str) -> bool {
        let here = self.grants.get(namespace).into_iter().flat_map(BTreeMap::values);
        here.into_iter().any(|grant| grant.permits(from, name))
    }

    /// Whether a route is attached to the waypoint of a namespace, by a listener's name and port if it gives any.
    /// While nothing is known of the waypoint, routes of its own namespace are.
    pub(super) fn attach(
        &self,
        route: &ObjectId,
        waypoint: &str,
        (section, port): (Option<&str>, Option<u16>),
    ) -> Result<(), Refused> {
        let same = *route.namespace == *waypoint;
        let Some(Listeners(listeners)) = &self.listeners else {
            return if same { Ok(()) } else { Err(Refused::NotAllowed) };
        };
        let asked = |of: &&Listener| {
            section.is_none_or(|section| *section == *of.name) && port.is_none_or(|port| port == of.port)
        };
        let mut asked = listeners.iter().filter(asked).peekable();
        if asked.peek().is_none() {
            return Err(Refused::NoListener);
        }
        let takes = |of: &Listener| self.takes(of, route.kind, &route.namespace, same);
        if asked.any(takes) { Ok(()) } else { Err(Refused::NotAllowed) }
    }

    fn takes(&self, listener: &Listener, kind: Kind, namespace: &Arc<str>, same: bool) -> bool {
        let namespace = match &listener.admits {
            Admits::None => false,
            Admits::Same => same,
            Admits::All => true,
            Admits::Those(selector) => self.namespaces.get(namespace).is_some_and(|labels| selector.selects(labels)),
        };
        namespace && (listener.kinds.is_empty() || listener.kinds.contains(kind.word()))
    }
}
