//! An object in force: what it means by itself, and nothing of how it was written.

use std::sync::Arc;

use ambit_resources::{FieldPath, Metadata, Object, Origin, Parsed};

use crate::authorization::{self, Selected};
use crate::endpoint_slice::{self, Slice};
use crate::enrolment::{self, Wish};
use crate::findings::Findings;
use crate::instance::Instance;
use crate::locality::Site;
use crate::peer_authentication::{self, Modes};
use crate::service::{self, Frontend};
use crate::service_entry::{self, Entry};
use crate::shared::Shared;
use crate::{locality, workload, workload_entry};

/// An object in force, and where it stands.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
    pub(crate) means: Meaning,
}

/// What an object means by itself.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// A pod that has not ended, or another workload.
    Workload(Box<Instance>),
    Other(Other),
}

/// What an object means that is no workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// Nothing to a node agent.
    Nothing,
    /// Where a node is.
    Node(Arc<Site>),
    /// What a namespace wishes for its pods.
    Namespace(Wish),
    /// A service that is more than a DNS alias.
    Service(Arc<Frontend>),
    Slice(Arc<Slice>),
    Entry(Arc<Entry>),
    /// A policy that node agents enforce.
    Authorization(Arc<Selected>),
    PeerAuthentication(Arc<Modes>),
}

impl Held {
    /// What an object means, worth something only where there are no errors among the findings.
    pub(crate) fn of(parsed: &Parsed, shared: &mut Shared, findings: &mut Findings<'_>) -> Self {
        let Parsed { origin, object } = parsed;
        let means = Meaning::of(origin, object, shared, findings);
        Self { file: Arc::clone(&origin.file), line: origin.lines.at(&FieldPath::default()), means }
    }
}

impl Meaning {
    fn of(origin: &Origin, object: &Object, shared: &mut Shared, findings: &mut Findings<'_>) -> Self {
        let id = &origin.id;
        let other = match object {
            Object::Pod(pod) => {
                workload::check(pod, findings);
                return Self::of_workload(workload::prepare(origin, pod, shared));
            }
            Object::WorkloadEntry(entry) => {
                workload_entry::check(&entry.spec, &FieldPath::of("spec"), findings);
                return Self::of_workload(workload_entry::prepare(origin, entry, shared));
            }
            Object::ServiceAccount(_) => None,
            Object::Node(node) => Some(Other::Node(Arc::new(locality::of_node(node, &mut shared.texts)))),
            Object::Namespace(namespace) => Some(Other::Namespace(wish(&namespace.metadata, findings))),
            Object::Service(service) => {
                service::check(service, findings);
                service::prepare(origin, service, shared).map(Arc::new).map(Other::Service)
            }
            Object::EndpointSlice(slice) => endpoint_slice::prepare(id, slice, shared).map(Arc::new).map(Other::Slice),
            Object::ServiceEntry(entry) => {
                service_entry::check(entry, findings);
                service_entry::prepare(id, entry, shared).map(Arc::new).map(Other::Entry)
            }
            Object::AuthorizationPolicy(policy) => {
                authorization::prepare(id, policy, shared, findings).map(Arc::new).map(Other::Authorization)
            }
            Object::PeerAuthentication(policy) => {
                peer_authentication::check(policy, findings);
                let modes = peer_authentication::prepare(policy, shared);
                Some(Other::PeerAuthentication(Arc::new(modes)))
            }
        };
        Self::Other(other.unwrap_or(Other::Nothing))
    }

    fn of_workload(instance: Option<Instance>) -> Self {
        instance.map_or(Self::Other(Other::Nothing), |instance| Self::Workload(Box::new(instance)))
    }
}

fn wish(metadata: &Metadata, findings: &mut Findings<'_>) -> Wish {
    enrolment::check_metadata(metadata, findings);
    Wish::of(metadata)
}
