//! Which objects concern which waypoint. Too many would only be a waste, too few would be a policy that is not in
//! force: what is not clear concerns it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::GatewayKey;
use ambit_resources::{Kind, ObjectId};
use serde_json::Value;

use super::scope::Scope;
use crate::credentials::Use;

/// How it is decided whom an object concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Where it is.
    Policy,
    /// A RateLimitPolicy: everybody, as it may hang on a route that is anywhere.
    Limit,
    /// A VirtualService: also by its hosts.
    VirtualService,
    /// A route of the Gateway API: also by its parents.
    Route,
    /// A DestinationRule: also by where routes lead.
    DestinationRule,
    /// What is said about services where they are: also if routes lead there.
    Service,
    /// A Namespace: by its name.
    Namespace,
    /// A Gateway: the waypoint itself.
    Gateway,
    /// A GatewayClass: everybody.
    Class,
}

/// What of an object decides whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concern {
    role: Role,
    namespace: Arc<str>,
    name: Arc<str>,
    /// The hosts it is about: of a VirtualService or DestinationRule, and a route's parents.
    about: Vec<Host>,
    /// Where it sends requests.
    pub(super) leads_to: BTreeSet<Place>,
    /// The credentials it names: Secrets of the waypoint's namespace, by name, and what is in its own.
    credentials: BTreeSet<Credential>,
}

/// A credential that an object names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Credential {
    /// A Secret of whoever connects.
    OfWaypoint(Arc<str>),
    /// A Secret or ConfigMap beside the object.
    Beside(Kind, Arc<str>),
}

/// Host names, as the objects of a namespace write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// One.
    Is(Arc<str>),
    /// A service of Kubernetes, whatever the cluster's domain is.
    Begins(Arc<str>),
    /// A wildcard, without its `*`.
    Ends(Arc<str>),
    /// All that a waypoint serves.
    Gateway(GatewayKey),
}

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// To a service of the namespace.
    Namespace(Arc<str>),
    /// To the service of this host, wherever it is from.
    Host(Arc<str>),
}

impl Role {
    /// The role of a kind; nothing of those that no waypoint is told of. No Secret is among the others, nor anything
    /// that holds one.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::AuthorizationPolicy | Kind::RequestAuthentication | Kind::Telemetry | Kind::MeshConfig => {
                Some(Self::Policy)
            }
            Kind::RateLimitPolicy => Some(Self::Limit),
            Kind::VirtualService => Some(Self::VirtualService),
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute => Some(Self::Route),
            Kind::DestinationRule => Some(Self::DestinationRule),
            Kind::ReferenceGrant | Kind::BackendTlsPolicy => Some(Self::Service),
            Kind::Namespace => Some(Self::Namespace),
            Kind::Gateway => Some(Self::Gateway),
            Kind::GatewayClass => Some(Self::Class),
            Kind::Node
            | Kind::ServiceAccount
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::Pod
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::ServiceEntry
            | Kind::WorkloadEntry
            | Kind::PeerAuthentication => None,
        }
    }
}

impl Concern {
    /// What decides of an object, as it is written. Whether it is valid is not judged here.
    pub(super) fn of(role: Role, namespace: &Arc<str>, name: &Arc<str>, object: &Value) -> Self {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let (mut about, mut leads_to, mut credentials) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        match role {
            Role::VirtualService => {
                about = texts(spec, "hosts").flat_map(|host| Host::of(host, namespace)).collect();
                each(spec, &mut |key, value| {
                    let host = value.as_str().filter(|_| key == "host");
                    leads_to.extend(host.into_iter().flat_map(|host| Place::of_host(host, namespace)));
                });
            }
            Role::DestinationRule => {
                about = text(spec, "host").into_iter().flat_map(|host| Host::of(host, namespace)).collect();
                each(spec, &mut |key, value| {
                    let name = value.as_str().filter(|name| key == "credentialName" && !name.is_empty());
                    // In the field the authorities may be in a Secret of their own.
                    let names = name.into_iter().flat_map(|name| [name.to_owned(), format!("{name}-cacert")]);
                    credentials.extend(names.map(|name| Credential::OfWaypoint(name.into())));
                });
            }
            Role::Route => {
                about = list(spec, "parentRefs").flat_map(|parent| Host::of_parent(parent, namespace)).collect();
                leads_to.insert(Place::Namespace(Arc::clone(namespace)));
                each(spec, &mut |key, value| match key {
                    "backendRefs" => {
                        leads_to.extend(value.as_array().into_iter().flatten().filter_map(Place::of_backend))
                    }
                    "backendRef" => leads_to.extend(Place::of_backend(value)),
                    _ => {}
                });
            }
            Role::Service => {
                let validation = spec.get("validation").unwrap_or(&Value::Null);
                credentials.extend(list(validation, "caCertificateRefs").filter_map(Credential::beside));
            }
            // Whom the waypoint itself asks: it must know how to connect to them, TLS above all.
            Role::Policy | Role::Limit => each(spec, &mut |key, value| {
                let host = value.as_str().and_then(|text| match key {
                    "service" | "host" => Some(text.split_once('/').unwrap_or((namespace, text))),
                    "jwksUri" => Some((&**namespace, host_of_url(text)?)),
                    _ => None,
                });
                leads_to.extend(host.into_iter().flat_map(|(of, host)| Place::of_host(host, of)));
            }),
            Role::Namespace | Role::Gateway | Role::Class => {}
        }
        Self { role, namespace: Arc::clone(namespace), name: Arc::clone(name), about, leads_to, credentials }
    }

    /// The credentials it needs at a waypoint.
    pub(super) fn credentials(&self, waypoint: &GatewayKey) -> impl Iterator<Item = (ObjectId, Use)> {
        self.credentials.iter().map(|credential| match credential {
            Credential::OfWaypoint(name) => {
                let (namespace, name) = (Arc::clone(&waypoint.namespace), Arc::clone(name));
                (ObjectId { kind: Kind::Secret, namespace, name }, Use::Show)
            }
            Credential::Beside(kind, name) => {
                let (namespace, name) = (Arc::clone(&self.namespace), Arc::clone(name));
                (ObjectId { kind: *kind, namespace, name }, Use::Believe)
            }
        })
    }

    /// Whether it concerns the waypoint of a scope. For what routes, this does not depend on where others route to.
    pub(super) fn is_of(&self, scope: &Scope) -> bool {
        let here = scope.is_home(&self.namespace);
        let is_served = || self.about.iter().any(|host| scope.serves(host));
        let is_led_to = || self.about.iter().any(|host| scope.leads_to_host(host));
        match self.role {
            Role::Policy => here,
            // One without hosts is there for others to delegate to.
            Role::VirtualService => here || self.about.is_empty() || is_served(),
            Role::Route => here || is_served(),
            Role::DestinationRule => here || scope.leads_to_namespace(&self.namespace) || is_led_to(),
            Role::Service => here || scope.leads_to_namespace(&self.namespace),
            Role::Namespace => scope.is_home(&self.name) || scope.leads_to_namespace(&self.name),
            Role::Gateway => scope.is_itself(&self.namespace, &self.name),
            Role::Class | Role::Limit => true,
        }
    }
}

impl Host {
    /// The hosts that a text may mean: one word is a service of the namespace; more may leave out the end.
    fn of(host: &str, namespace: &str) -> Vec<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(end) = host.strip_prefix('*') {
            return vec![Self::Ends(end.into())];
        }
        let service = |name: &str, namespace: &str| Self::Begins(format!("{name}.{namespace}.svc.").into());
        match host.split('.').collect::<Vec<_>>().as_slice() {
            [name] => vec![service(name, namespace)],
            [name, of] => vec![service(name, of), Self::Is(host.as_str().into())],
            [name, of, "svc", ..] => vec![service(name, of)],
            _ => vec![Self::Is(host.as_str().into())],
        }
    }

    /// The hosts a route's parent has: of a Service, or of the host that is named itself. A ServiceEntry may be
    /// anything in its namespace. Whether a Gateway takes routes of the namespace, it says to the route itself.
    fn of_parent(parent: &Value, namespace: &str) -> Vec<Self> {
        let of = text(parent, "namespace").unwrap_or(namespace);
        let Some(name) = text(parent, "name") else { return Vec::new() };
        match text(parent, "kind").unwrap_or("Gateway") {
            "Service" => vec![Self::Begins(format!("{name}.{of}.svc.").into())],
            "Hostname" => Self::of(name, of),
            "ServiceEntry" => vec![Self::Ends("".into())],
            "Gateway" => vec![Self::Gateway(GatewayKey { namespace: of.into(), name: name.into() })],
            _ => Vec::new(),
        }
    }
}

impl Credential {
    fn beside(reference: &Value) -> Option<Self> {
        let kind = match (text(reference, "group").unwrap_or_default(), text(reference, "kind")?) {
            ("" | "core", "Secret") => Kind::Secret,
            ("" | "core", "ConfigMap") => Kind::ConfigMap,
            _ => return None,
        };
        Some(Self::Beside(kind, text(reference, "name")?.into()))
    }
}

impl Place {
    fn of_host(host: &str, namespace: &str) -> Vec<Self> {
        let place = |host: Host| match host {
            Host::Is(host) => Some(Self::Host(host)),
            Host::Begins(service) => service.split('.').nth(1).map(|it| Self::Namespace(it.into())),
            Host::Ends(_) | Host::Gateway(_) => None,
        };
        Host::of(host, namespace).into_iter().filter_map(place).collect()
    }

    fn of_backend(backend: &Value) -> Option<Self> {
        let name = || text(backend, "name").map(|name| Self::Host(name.to_ascii_lowercase().into()));
        let is_host = text(backend, "kind") == Some("Hostname");
        if is_host { name() } else { text(backend, "namespace").map(|it| Self::Namespace(it.into())) }
    }
}

fn host_of_url(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn texts<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    list(object, field).filter_map(Value::as_str)
}

/// Every field of a tree, wherever it stands.
fn each(value: &Value, at: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                at(key, value);
                each(value, at);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| each(value, at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
