//! Where routes lead, and whether they may.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::Backend;
use ambit_model::{Service, ServiceKey};
use ambit_resources::gateway_api::BackendRef;
use http::StatusCode;

use super::admission::Admission;
use super::problem::RouteProblem;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::directory::Directory;

/// A reference to a backend, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// As logs name it.
    shown: Arc<str>,
    to: To,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    /// A Service of Kubernetes.
    Service { key: ServiceKey, name: Arc<str>, port: u16 },
    /// Whatever has the host name.
    Host { name: Arc<str>, port: u16 },
    /// What is none of our kinds.
    Unknown { group: Arc<str>, kind: Arc<str> },
    /// What cannot be used as it is written.
    Unusable(RouteProblem),
}

/// What references are looked up with.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a> {
    pub(super) directory: &'a Directory,
    /// The grants, where they are needed to leave the namespace.
    pub(super) grants: Option<&'a Admission>,
    /// Who refers.
    pub(super) from: &'a ambit_resources::ObjectId,
}

/// Host names by group, as the field writes them.
const HOSTNAME: (&str, &str) = ("networking.istio.io", "Hostname");

impl Reference {
    pub(super) fn of(written: &BackendRef, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let BackendRef { group, kind, name, namespace, port, .. } = written;
        let own = cx.namespace();
        let namespace = namespace.as_deref().filter(|it| !it.is_empty()).map_or_else(|| Arc::clone(own), Arc::from);
        if name.is_empty() {
            cx.error(&at.field("name"), L7Problem::Required { what: "a name" });
        }
        let is_host = (group.as_str(), kind.as_str()) == HOSTNAME;
        let is_service = matches!(group.as_str(), "" | "core") && kind == "Service";
        if !is_host && !is_service {
            return Self::unknown(group, kind, name);
        }
        if port.is_none_or(|port| port == 0) {
            cx.error(&at.field("port"), L7Problem::Required { what: "a port of the backend" });
        }
        let port = port.unwrap_or_default();
        if is_host {
            let name: Arc<str> = name.to_ascii_lowercase().into();
            return Self { shown: format!("{kind} {name}").into(), to: To::Host { name, port } };
        }
        let hostname = format!("{name}.{namespace}.svc.{}", cx.options.cluster_domain).into();
        let shown = format!("{kind} {namespace}/{name}").into();
        let key = ServiceKey { namespace, hostname };
        Self { shown, to: To::Service { key, name: name.as_str().into(), port } }
    }

    fn unknown(group: &str, kind: &str, name: &str) -> Self {
        Self { shown: format!("{kind} {name}").into(), to: To::Unknown { group: group.into(), kind: kind.into() } }
    }

    /// The same, that nothing may be sent to.
    pub(super) fn unusable(self, problem: RouteProblem) -> Self {
        Self { to: To::Unusable(problem), ..self }
    }

    /// The host name that must be looked up for it.
    pub(super) fn host(&self) -> Option<&Arc<str>> {
        match &self.to {
            To::Service { key, .. } => Some(&key.hostname),
            To::Host { name, .. } => Some(name),
            To::Unknown { .. } | To::Unusable(_) => None,
        }
    }

    /// What stands in its place while it leads nowhere, or is not yet looked up.
    pub(super) fn invalid(&self, status: StatusCode) -> Backend {
        Backend::Invalid { status, reference: Arc::clone(&self.shown) }
    }

    /// Where it leads.
    pub(super) fn find(&self, with: &Lookup<'_>) -> Result<Backend, RouteProblem> {
        let backend = || Arc::clone(&self.shown);
        let own = &with.from.namespace;
        let (service, port) = match &self.to {
            To::Service { key, name, port } => {
                if let Some(grants) = with.grants
                    && key.namespace != *own
                    && !grants.permits(with.from, &key.namespace, name)
                {
                    return Err(RouteProblem::NotGranted { backend: backend() });
                }
                (with.directory.service(key), *port)
            }
            To::Host { name, port } => (with.directory.find(std::slice::from_ref(name), &[own]), *port),
            To::Unknown { group, kind } => {
                return Err(RouteProblem::UnknownKind { group: Arc::clone(group), kind: Arc::clone(kind) });
            }
            To::Unusable(problem) => return Err(problem.clone()),
        };
        let service = service.ok_or_else(|| RouteProblem::NoBackend { backend: backend() })?;
        if !has_port(service, port) {
            return Err(RouteProblem::NoBackendPort { backend: backend(), port });
        }
        Ok(Backend::Service { service: service.key.clone(), port, subset: None })
    }
}

fn has_port(service: &Service, port: u16) -> bool {
    service.ports.iter().any(|known| known.port == port)
}

/// Looks references up, and gathers what there is to be said about them.
pub(super) struct Finder<'a> {
    pub(super) with: Lookup<'a>,
    /// What is answered in the place of what leads nowhere.
    pub(super) status: StatusCode,
    pub(super) problems: Vec<RouteProblem>,
    pub(super) looked_up: BTreeSet<Arc<str>>,
}

impl Finder<'_> {
    pub(super) fn find(&mut self, reference: &Reference) -> Backend {
        if let Some(name) = reference.host()
            && !self.looked_up.contains(name)
        {
            self.looked_up.insert(Arc::clone(name));
        }
        reference.find(&self.with).unwrap_or_else(|problem| {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
            reference.invalid(self.status)
        })
    }
}
