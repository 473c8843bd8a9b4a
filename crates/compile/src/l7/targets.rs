//! What policies are attached to.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::Service;
use ambit_resources::TargetRef;

use super::at::At;
use super::cx::Cx;
use super::{L7Options, L7Problem};

/// What a policy is attached to, as far as a waypoint knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// All that the waypoint serves.
    Waypoint,
    /// A Service, by namespace and name.
    Service(Arc<str>, Arc<str>),
    /// All hosts of a ServiceEntry, by namespace and name.
    Entry(Arc<str>, Arc<str>),
}

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
const ENTRY_GROUP: &str = "networking.istio.io";
/// The class of waypoints.
const CLASS: &str = "istio-waypoint";

/// What a policy is attached to; nothing for one that is attached to nothing and so none of a waypoint's. What is
/// attached to another waypoint is attached, but to none of these.
pub(crate) fn targets(old: Option<&TargetRef>, targets: &[TargetRef], cx: &mut Cx<'_>) -> Option<BTreeSet<Target>> {
    let at = At::SPEC;
    if old.is_some() && !targets.is_empty() {
        cx.error(&at.field("targetRef"), L7Problem::Exclusive { other: "targetRefs" });
    }
    let mut found = BTreeSet::new();
    if let Some(old) = old {
        found.extend(target(old, &at.field("targetRef"), cx));
    }
    let list = at.field("targetRefs");
    for (i, of) in targets.iter().enumerate() {
        found.extend(target(of, &list.index(i), cx));
    }
    (old.is_some() || !targets.is_empty()).then_some(found)
}

/// One of them.
pub(crate) fn target(of: &TargetRef, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Target> {
    let own = cx.namespace();
    if !of.namespace.is_empty() && *of.namespace != **own {
        cx.error(&at.field("namespace"), L7Problem::TargetNamespace { namespace: of.namespace.clone() });
        return None;
    }
    if of.name.is_empty() {
        cx.error(&at.field("name"), L7Problem::Required { what: "a name" });
    }
    let name: Arc<str> = of.name.as_str().into();
    let waypoint = &cx.options.waypoint;
    match (of.group.as_str(), of.kind.as_str()) {
        ("" | "core", "Service") => Some(Target::Service(Arc::clone(own), name)),
        (ENTRY_GROUP, "ServiceEntry") => Some(Target::Entry(Arc::clone(own), name)),
        (GATEWAY_GROUP, "Gateway") => (*own == waypoint.namespace && name == waypoint.name).then_some(Target::Waypoint),
        (GATEWAY_GROUP, "GatewayClass") if **own != *cx.options.root_namespace => {
            cx.error(at, L7Problem::ClassOutsideRoot { root: Arc::clone(&cx.options.root_namespace) });
            None
        }
        (GATEWAY_GROUP, "GatewayClass") => (of.name == CLASS).then_some(Target::Waypoint),
        (group, kind) => {
            cx.error(&at.field("kind"), L7Problem::TargetKind { group: group.to_owned(), kind: kind.to_owned() });
            None
        }
    }
}

/// What a policy for a service can be attached to.
pub(crate) fn targets_of(service: &Service, options: &L7Options) -> [Target; 2] {
    let namespace = &service.key.namespace;
    let name = Arc::clone(&service.name);
    let kubernetes = format!("{name}.{namespace}.svc.{}", options.cluster_domain);
    let own = if *service.key.hostname == *kubernetes {
        Target::Service(Arc::clone(namespace), name)
    } else {
        Target::Entry(Arc::clone(namespace), name)
    };
    [Target::Waypoint, own]
}
