//! What routes are attached to.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{Service, ServiceKey};
use ambit_resources::ObjectId;
use ambit_resources::gateway_api::{GROUP, ParentRef};

use super::admission::Admission;
use crate::l7::L7Options;
use crate::l7::cx::Cx;
use crate::l7::targets::{Target, targets_of};

/// A parent, as far as it may concern this waypoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    /// Its place among the object's.
    pub(super) at: usize,
    pub(super) target: Target,
    pub(super) section: Option<Arc<str>>,
    pub(super) port: Option<u16>,
}

/// Whose requests to a service routes are for. Those of one group are merged; of several groups that a client is
/// in, the first counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Clients of this namespace, whose own routes these are.
    Consumer(Arc<str>),
    /// Everybody's: routes of the service's namespace.
    Producer,
    /// Everybody's: routes for all services of the waypoint.
    Waypoint,
}

/// Which requests to a service a route is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) group: Group,
    /// The ports asked for; 0 for a service without.
    pub(crate) ports: BTreeSet<u16>,
}

const ENTRY_GROUP: &str = "networking.istio.io";

impl Parent {
    /// A parent; nothing for one that is of no concern to any waypoint, or is another one.
    pub(super) fn of(at: usize, written: &ParentRef, cx: &Cx<'_>) -> Option<Self> {
        let ParentRef { group, kind, namespace, name, section_name, port } = written;
        let namespace = match namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => namespace.into(),
            None => Arc::clone(cx.namespace()),
        };
        let waypoint = &cx.options.waypoint;
        let name: Arc<str> = name.as_str().into();
        let target = match (group.as_str(), kind.as_str()) {
            ("" | "core", "Service") => Target::Service(namespace, name),
            (ENTRY_GROUP, "ServiceEntry") => Target::Entry(namespace, name),
            (GROUP, "Gateway") => {
                (namespace == waypoint.namespace && name == waypoint.name).then_some(Target::Waypoint)?
            }
            _ => return None,
        };
        Some(Self { at, target, section: section_name.as_deref().map(Arc::from), port: *port })
    }

    /// The ports of a service it asks for.
    pub(super) fn ports(&self, service: &Service) -> BTreeSet<u16> {
        if self.section.is_none() && self.port.is_none() {
            return ports_of(service);
        }
        let asked = service.ports.iter().filter(|of| {
            self.port.is_none_or(|port| port == of.port)
                && self.section.as_ref().is_none_or(|section| *section == of.name)
        });
        asked.map(|of| of.port).collect()
    }

    /// The service it names, where it names one of Kubernetes.
    pub(super) fn service(&self, options: &L7Options) -> Option<ServiceKey> {
        let Target::Service(namespace, name) = &self.target else { return None };
        let hostname = format!("{name}.{namespace}.svc.{}", options.cluster_domain).into();
        Some(ServiceKey { namespace: Arc::clone(namespace), hostname })
    }

    /// As logs name it.
    pub(super) fn shown(&self) -> Arc<str> {
        match &self.target {
            Target::Waypoint => "Gateway of this waypoint".into(),
            Target::Service(namespace, name) => format!("Service {namespace}/{name}").into(),
            Target::Entry(namespace, name) => format!("ServiceEntry {namespace}/{name}").into(),
        }
    }
}

/// The ports of a service; 0 for one without.
pub(super) fn ports_of(service: &Service) -> BTreeSet<u16> {
    if service.ports.is_empty() {
        return [0].into();
    }
    service.ports.iter().map(|of| of.port).collect()
}

/// A service that routes may be attached to.
pub(crate) struct ServiceParent<'a> {
    pub(crate) service: &'a Service,
    /// What its own routes are attached to.
    own: Target,
    waypoint: &'a str,
    admission: &'a Admission,
}

impl<'a> ServiceParent<'a> {
    pub(crate) fn of(service: &'a Service, options: &'a L7Options, admission: &'a Admission) -> Self {
        let [_, own] = targets_of(service, options);
        Self { service, own, waypoint: &options.waypoint.namespace, admission }
    }

    /// The grants that a route needs to leave its namespace, if it needs any.
    pub(super) fn grants(&self, group: &Group) -> Option<&'a Admission> {
        (*group == Group::Waypoint).then_some(self.admission)
    }

    /// Which of its requests are a route's, by the route's parents and host names; nothing if none are.
    pub(super) fn scope(&self, id: &ObjectId, parents: &[Parent], hostnames: &[String]) -> Option<Scope> {
        let here = parents.iter().filter(|parent| parent.target == self.own);
        let ports: BTreeSet<u16> = here.flat_map(|parent| parent.ports(self.service)).collect();
        if !ports.is_empty() {
            let producer = id.namespace == self.service.key.namespace;
            let group = if producer { Group::Producer } else { Group::Consumer(Arc::clone(&id.namespace)) };
            return Some(Scope { group, ports });
        }
        let attached = parents.iter().filter(|parent| parent.target == Target::Waypoint).any(|parent| {
            let place = (parent.section.as_deref(), parent.port);
            self.admission.attach(id, self.waypoint, place).is_ok()
        });
        let named = hostnames.is_empty() || hostnames.iter().any(|host| names(host, &self.service.key.hostname));
        (attached && named).then(|| Scope { group: Group::Waypoint, ports: ports_of(self.service) })
    }
}

/// Whether a host name of a route, which may begin with `*.`, is a service's.
fn names(written: &str, hostname: &str) -> bool {
    let written = written.to_ascii_lowercase();
    match written.strip_prefix('*') {
        Some(end) => hostname.len() > end.len() && hostname.ends_with(end),
        None => written == *hostname,
    }
}
