//! An object in force: what it means by itself, and nothing of how it was written.

use std::sync::Arc;

use ambit_resources::{FieldPath, Object, ObjectId, Origin, Parsed, TargetRef};

use crate::authorization::{self, Selected};
use crate::endpoint_slice::{self, Slice};
use crate::exports;
use crate::findings::Findings;
use crate::guards::Target;
use crate::instance::Instance;
use crate::locality::Site;
use crate::namespace::Space;
use crate::peer_authentication::{self, Modes};
use crate::service::{self, Frontend};
use crate::service_entry::{self, Entry};
use crate::shared::Shared;
use crate::waypoint::Gateway;
use crate::{guards, locality, namespace, waypoint, workload, workload_entry};

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
    Namespace(Arc<Space>),
    /// A service that is more than a DNS alias.
    Service(Arc<Frontend>),
    Slice(Arc<Slice>),
    Entry(Arc<Entry>),
    /// A policy that node agents enforce.
    Authorization(Arc<Selected>),
    PeerAuthentication(Arc<Modes>),
    /// A policy that waypoints enforce, and what it is attached to.
    Attached(Arc<[Target]>),
    Gateway(Arc<Gateway>),
    /// A class of Gateways that are waypoints.
    WaypointClass,
    /// Who sees services that do not say so.
    Exports(Arc<[Arc<str>]>),
}

impl Held {
    /// What an object means, worth something only where there are no errors among the findings.
    pub(crate) fn of(parsed: &Parsed, shared: &mut Shared, findings: &mut Findings<'_>) -> Self {
        let Parsed { origin, object } = parsed;
        let means = Meaning::of(origin, object, shared, findings);
        Self { file: Arc::clone(&origin.file), line: origin.lines.at(&FieldPath::default()), means }
    }

    /// What stands for a policy that was never valid; nothing where it is for no waypoint.
    pub(crate) fn closed(
        (file, line): (Arc<str>, u32),
        id: &ObjectId,
        targets: &[TargetRef],
        shared: &mut Shared,
    ) -> Option<Self> {
        let means = Meaning::Other(attached(id, None, targets, shared)?);
        Some(Self { file, line, means })
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
                workload_entry::check(&entry.spec, false, &FieldPath::of("spec"), findings);
                return Self::of_workload(workload_entry::prepare(origin, entry, shared));
            }
            Object::ServiceAccount(_) | Object::Secret(_) | Object::ConfigMap(_) => None,
            // What these mean is of interest at a waypoint only.
            Object::VirtualService(_)
            | Object::DestinationRule(_)
            | Object::Telemetry(_)
            | Object::HttpRoute(_)
            | Object::GrpcRoute(_)
            | Object::TcpRoute(_)
            | Object::TlsRoute(_)
            | Object::ReferenceGrant(_)
            | Object::BackendTlsPolicy(_)
            | Object::RateLimitPolicy(_) => None,
            Object::MeshConfig(config) => exports::of_mesh(id, config, shared).map(Other::Exports),
            Object::Node(node) => Some(Other::Node(Arc::new(locality::of_node(node, &mut shared.texts)))),
            Object::Namespace(it) => {
                namespace::check(&it.metadata, findings);
                let space = namespace::prepare(id, &it.metadata, &mut shared.texts);
                Some(Other::Namespace(Arc::new(space)))
            }
            Object::Gateway(gateway) => {
                waypoint::check(gateway, findings);
                Some(Other::Gateway(Arc::new(waypoint::prepare(gateway, &mut shared.texts))))
            }
            Object::GatewayClass(class) => waypoint::is_waypoint_class(class).then_some(Other::WaypointClass),
            Object::RequestAuthentication(policy) => {
                attached(id, policy.spec.target_ref.as_ref(), &policy.spec.target_refs, shared)
            }
            Object::Service(service) => {
                service::check(service, findings);
                service::prepare(origin, service, shared).map(Arc::new).map(Other::Service)
            }
            Object::EndpointSlice(slice) => endpoint_slice::prepare(id, slice, shared).map(Arc::new).map(Other::Slice),
            Object::ServiceEntry(entry) => {
                service_entry::check(entry, findings);
                Some(Other::Entry(Arc::new(service_entry::prepare(id, entry, shared))))
            }
            Object::AuthorizationPolicy(policy) => {
                let own = authorization::prepare(id, policy, shared, findings).map(Arc::new).map(Other::Authorization);
                let in_force = !authorization::is_dry_run(&policy.metadata);
                let (one, all) = (policy.spec.target_ref.as_ref(), &policy.spec.target_refs);
                own.or_else(|| attached(id, one, all, shared).filter(|_| in_force))
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

fn attached(id: &ObjectId, one: Option<&TargetRef>, all: &[TargetRef], shared: &mut Shared) -> Option<Other> {
    let targets = guards::targets(&id.namespace, one, all, shared);
    (!targets.is_empty()).then_some(Other::Attached(targets))
}
