//! What can be wrong with objects of the Gateway API.

use std::sync::Arc;

use ambit_model::GatewayKey;
use ambit_resources::Kind;

/// What can be wrong with an object of the Gateway API, or noteworthy about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RouteProblem {
    /// A backend that does not exist.
    #[error("there is no {backend}: what goes there is answered with an error until there is")]
    NoBackend {
        /// What is asked for.
        backend: Arc<str>,
    },
    /// A backend without the port.
    #[error("{backend} has no port {port}: what goes there is answered with an error until it has")]
    NoBackendPort {
        /// What is asked for.
        backend: Arc<str>,
        /// The port.
        port: u16,
    },
    /// A backend of another namespace that does not allow it.
    #[error("no ReferenceGrant lets this refer to {backend}: what goes there is answered with an error until one does")]
    NotGranted {
        /// What is asked for.
        backend: Arc<str>,
    },
    /// A reference to a kind that is none of ours.
    #[error("{kind} of the group {group:?} is not known here: what needs it is answered with an error")]
    UnknownKind {
        /// The group.
        group: Arc<str>,
        /// The kind.
        kind: Arc<str>,
    },
    /// A filter that the API has and we have not.
    #[error("the filter {filter} is not supported {place}: what it is for is answered with an error")]
    UnsupportedFilter {
        /// Its type.
        filter: &'static str,
        /// Where.
        place: &'static str,
    },
    /// Routes of different kinds for one port.
    #[error("a {winner} has port {port} already: this is out of force there")]
    Conflict {
        /// The kind that has it.
        winner: Kind,
        /// The port; 0 for a service without.
        port: u16,
    },
    /// A parent that is not there.
    #[error("there is no {parent}")]
    NoParent {
        /// What is asked for.
        parent: Arc<str>,
    },
    /// A parent without the port or listener asked for.
    #[error("{parent} has no port or listener like this")]
    NoParentPort {
        /// What is asked for.
        parent: Arc<str>,
    },
    /// A waypoint that does not take routes of the namespace.
    #[error("Gateway {waypoint} does not allow routes of this kind and namespace (allowedRoutes)")]
    NotAllowed {
        /// The waypoint.
        waypoint: GatewayKey,
    },
    /// A VirtualService for a service that has routes of the Gateway API.
    #[error("not in force for {host}: routes of the Gateway API are attached to it, and only they count")]
    RoutedOtherwise {
        /// The service's host.
        host: Arc<str>,
    },
    /// Certificates that are nowhere to be had.
    #[error("no certificates of authorities can be had from {kind} {name}: connections fail")]
    NoAuthorities {
        /// The kind.
        kind: Arc<str>,
        /// The name.
        name: Arc<str>,
    },
}
