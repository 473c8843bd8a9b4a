//! Where routes lead.

use std::sync::Arc;

use ambit_l7::Backend;
use ambit_model::Service;
use ambit_resources::virtual_service;
use http::StatusCode;

use super::at::At;
use super::cx::Cx;
use super::directory::Directory;
use super::hosts::{full_names, is_host};
use super::{L7Problem, text};

/// A destination as VirtualServices write it, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// What its host may mean, the likeliest first.
    pub(crate) names: Arc<[Arc<str>]>,
    /// The namespace that writes it.
    namespace: Arc<str>,
    port: Option<u16>,
    subset: Option<Arc<str>>,
}

/// Where a route leads, and what is to be said about it.
pub(crate) type Found = (Backend, Option<L7Problem>);

impl Destination {
    pub(crate) fn of(written: &virtual_service::Destination, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let virtual_service::Destination { host, subset, port } = written;
        if host.is_empty() {
            cx.error(&at.field("host"), L7Problem::Required { what: "the host of a service" });
        } else if host == "*" || !is_host(host) {
            cx.error(&at.field("host"), L7Problem::Value { value: host.clone(), expected: "the host of a service" });
        }
        let port = text::port(port.as_ref().map(|port| port.number), &at.field("port").field("number"), cx);
        let names = full_names(host, cx.namespace(), &cx.options.cluster_domain).into();
        Self { names, namespace: Arc::clone(cx.namespace()), port, subset: text::text(subset) }
    }

    /// The service it means.
    pub(crate) fn service<'a>(&self, directory: &'a Directory) -> Option<&'a Arc<Service>> {
        directory.find(&self.names, &[&self.namespace])
    }

    /// Whether where it leads depends on the port that the client asked for.
    pub(crate) fn follows_port(&self, directory: &Directory) -> bool {
        self.port.is_none() && self.service(directory).is_some_and(|service| service.ports.len() != 1)
    }

    /// Where it leads for a client that asked for a port of the service the route is for. `None`: for any port,
    /// where that makes no difference.
    pub(crate) fn look_up(&self, asked: Option<u16>, directory: &Directory) -> Found {
        let Some(service) = self.service(directory) else {
            return (self.invalid(), Some(L7Problem::NoSuchHost { host: Arc::clone(self.name()) }));
        };
        let has = |port: u16| service.ports.iter().any(|known| known.port == port);
        let only = match service.ports.as_slice() {
            [only] => Some(only.port),
            _ => None,
        };
        match self.port.or(only).or(asked) {
            Some(port) if has(port) => {
                let (service, subset) = (service.key.clone(), self.subset.clone());
                (Backend::Service { service, port, subset }, None)
            }
            port => {
                let (host, port) = (Arc::clone(&service.key.hostname), port.unwrap_or_default());
                (self.invalid(), Some(L7Problem::NoSuchPort { host, port }))
            }
        }
    }

    fn name(&self) -> &Arc<str> {
        self.names.last().unwrap_or(&self.namespace)
    }

    /// What stands in the place of a destination that leads nowhere, or is not yet looked up.
    pub(crate) fn invalid(&self) -> Backend {
        Backend::Invalid { status: StatusCode::SERVICE_UNAVAILABLE, reference: Arc::clone(self.name()) }
    }
}
