//! An object in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_resources::mesh_config::GatewayTopology;
use ambit_resources::{Metadata, Object, Origin, Timestamp};

use crate::l7::authorization::Policy;
use crate::l7::credentials;
use crate::l7::cx::Cx;
use crate::l7::destination_rule::DestinationRule;
use crate::l7::gateway_api::{BackendTls, Grant, Listeners, Route};
use crate::l7::mesh_config::Mesh;
use crate::l7::rate_limit::Limits;
use crate::l7::request_authentication::Tokens;
use crate::l7::targets::{Target, targets};
use crate::l7::telemetry::Telemetry;
use crate::l7::topology;
use crate::l7::virtual_service::VirtualService;

/// An object in force, and where it is written.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) origin: Arc<Origin>,
    /// When it was made: the oldest come first.
    pub(super) created: Option<Timestamp>,
    pub(super) means: Meaning,
}

/// What an object means by itself.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Nothing to this waypoint.
    Nothing,
    VirtualService(Arc<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    Route(Arc<Route>),
    Policy(Box<Policy>),
    Tokens(Tokens),
    BackendTls(Arc<BackendTls>),
    Limits(Box<Limits>),
    /// What a Secret or ConfigMap holds.
    Credential(credentials::Held),
    Telemetry(Telemetry),
    /// What the store's [`Admission`](crate::l7::gateway_api::Admission) holds.
    Admits,
    /// The mesh configuration, which the store holds itself.
    Mesh,
}

impl Held {
    /// Whether it is a policy that was never valid, and denies everything.
    pub(super) fn is_closed(&self) -> bool {
        matches!(&self.means, Meaning::Policy(policy) if policy.is_closed)
    }
}

/// What came of an object.
pub(super) struct Prepared {
    pub(super) created: Option<Timestamp>,
    pub(super) means: Meaning,
    pub(super) mesh: Option<Mesh>,
    pub(super) admits: Option<Admits>,
}

/// Who is admitted to what.
pub(super) enum Admits {
    Grant(Grant),
    Gateway(Listeners, GatewayTopology),
    Namespace(Metadata),
}

/// What an object means, worth something only where there are no errors among the findings.
pub(super) fn prepare(object: &Object, cx: &mut Cx<'_>) -> Prepared {
    let (mut mesh, mut admits) = (None, None);
    let (metadata, means) = match object {
        Object::VirtualService(of) => {
            let means = VirtualService::prepare(&of.spec, cx).map(Arc::new).map(Meaning::VirtualService);
            (Some(&of.metadata), means)
        }
        Object::DestinationRule(of) => {
            let means = Meaning::DestinationRule(Box::new(DestinationRule::prepare(&of.spec, cx)));
            (Some(&of.metadata), Some(means))
        }
        Object::AuthorizationPolicy(of) => {
            (Some(&of.metadata), Policy::prepare(of, cx).map(Box::new).map(Meaning::Policy))
        }
        Object::RequestAuthentication(of) => (Some(&of.metadata), Tokens::prepare(&of.spec, cx).map(Meaning::Tokens)),
        Object::MeshConfig(of) => {
            mesh = Mesh::prepare(&of.spec, cx);
            (Some(&of.metadata), mesh.is_some().then_some(Meaning::Mesh))
        }
        Object::HttpRoute(of) => (Some(&of.metadata), Route::http(&of.spec, cx).map(Arc::new).map(Meaning::Route)),
        Object::GrpcRoute(of) => (Some(&of.metadata), Route::grpc(&of.spec, cx).map(Arc::new).map(Meaning::Route)),
        Object::TcpRoute(of) => (Some(&of.metadata), Route::tcp(&of.spec, cx).map(Arc::new).map(Meaning::Route)),
        Object::TlsRoute(of) => (Some(&of.metadata), Route::tls(&of.spec, cx).map(Arc::new).map(Meaning::Route)),
        Object::BackendTlsPolicy(of) => {
            let means = Meaning::BackendTls(Arc::new(BackendTls::prepare(&of.spec, cx)));
            (Some(&of.metadata), Some(means))
        }
        Object::ReferenceGrant(of) => {
            admits = Some(Admits::Grant(Grant::prepare(&of.spec)));
            (Some(&of.metadata), Some(Meaning::Admits))
        }
        Object::Gateway(of) if is_waypoint(cx) => {
            admits = Some(Admits::Gateway(Listeners::prepare(&of.spec), topology::of_gateway(of, cx)));
            (Some(&of.metadata), Some(Meaning::Admits))
        }
        Object::Namespace(of) => {
            admits = Some(Admits::Namespace(of.metadata.clone()));
            (Some(&of.metadata), Some(Meaning::Admits))
        }
        Object::Secret(of) => (Some(&of.metadata), credentials::of_secret(&cx.origin.id, of).map(Meaning::Credential)),
        Object::ConfigMap(of) => {
            (Some(&of.metadata), credentials::of_config_map(&cx.origin.id, of).map(Meaning::Credential))
        }
        Object::Node(_)
        | Object::ServiceAccount(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::ServiceEntry(_)
        | Object::WorkloadEntry(_)
        | Object::PeerAuthentication(_)
        | Object::Gateway(_)
        | Object::GatewayClass(_) => (None, None),
        Object::RateLimitPolicy(of) => {
            (Some(&of.metadata), Some(Meaning::Limits(Box::new(Limits::prepare(&of.spec, cx)))))
        }
        Object::Telemetry(of) => (Some(&of.metadata), Telemetry::prepare(&of.spec, cx).map(Meaning::Telemetry)),
    };
    let created = metadata.and_then(|metadata| metadata.creation_timestamp.clone());
    Prepared { created, means: means.unwrap_or(Meaning::Nothing), mesh, admits }
}

/// Whether an object is the waypoint, where it is a Gateway at all.
fn is_waypoint(cx: &Cx<'_>) -> bool {
    let (id, waypoint) = (&cx.origin.id, &cx.options.waypoint);
    id.namespace == waypoint.namespace && id.name == waypoint.name
}

/// What a policy that is not valid is attached to, so that it can be closed.
pub(super) fn attached(object: &Object, cx: &mut Cx<'_>) -> Option<BTreeSet<Target>> {
    let (old, all) = if let Object::AuthorizationPolicy(of) = object {
        (&of.spec.target_ref, &of.spec.target_refs)
    } else if let Object::RequestAuthentication(of) = object {
        (&of.spec.target_ref, &of.spec.target_refs)
    } else {
        return None;
    };
    targets(old.as_ref(), all, cx)
}
