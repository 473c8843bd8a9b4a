//! A small mesh with a waypoint, for tests: `shop/waypoint` serves the namespace `shop`.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_l7::{Backend, L7Config, Pattern, ServiceRules};
use ambit_model::{
    AppProtocol, GatewayAddress, GatewayKey, HealthPolicy, LoadBalancingMode, Service, ServiceKey, ServicePort,
    WaypointFailure,
};
use ambit_resources::{ObjectId, parse_file};

use super::{L7Delta, L7Options, L7Services, L7Store};
use crate::Input;

/// The services of a mesh, as a waypoint knows them.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) HashMap<ServiceKey, Arc<Service>>);

impl L7Services for Table {
    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.0.get(key).cloned()
    }
}

/// A mesh and its waypoint.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) services: Table,
    pub(crate) store: L7Store,
}

pub(crate) const REVIEWS: &str = "shop/reviews.shop.svc.cluster.local";

pub(crate) fn key(text: &str) -> ServiceKey {
    let (namespace, hostname) = text.split_once('/').unwrap();
    ServiceKey { namespace: namespace.into(), hostname: hostname.into() }
}

pub(crate) fn options() -> L7Options {
    L7Options {
        waypoint: GatewayKey { namespace: "shop".into(), name: "waypoint".into() },
        labels: [("app".into(), "waypoint".into())].into(),
        ..L7Options::default()
    }
}

/// A service, `namespace/hostname`, of the waypoint or not.
pub(crate) fn service(name: &str, ports: &[u16], bound: bool) -> Arc<Service> {
    let key = key(name);
    let waypoint = ServiceKey { namespace: "shop".into(), hostname: "waypoint.shop.svc.cluster.local".into() };
    let short = key.hostname.strip_suffix(&format!(".{}.svc.cluster.local", key.namespace)).unwrap_or("entry");
    let port = |port: &u16| ServicePort { port: *port, name: "".into(), app_protocol: AppProtocol::Unknown };
    Arc::new(Service {
        name: short.into(),
        addresses: Vec::new(),
        ports: ports.iter().map(port).collect(),
        subject_alt_names: Vec::new(),
        health_policy: HealthPolicy::default(),
        load_balancing: LoadBalancingMode::default(),
        waypoint: bound.then(|| Arc::new(GatewayAddress::of_service(waypoint))),
        canary: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: None,
        key,
    })
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let mut mesh = Self { services: Table::default(), store: L7Store::new(options()) };
        for (name, ports, bound) in [
            (REVIEWS, &[9080][..], true),
            ("shop/ratings.shop.svc.cluster.local", &[80, 8080], true),
            ("other/details.other.svc.cluster.local", &[9080], false),
            ("other/multi.other.svc.cluster.local", &[80, 443], false),
            ("shop/api.example.com", &[443], true),
            ("ext/*.wild.example", &[443], false),
        ] {
            mesh.put_service(&service(name, ports, bound));
        }
        mesh
    }

    pub(crate) fn put_service(&mut self, service: &Arc<Service>) -> L7Delta {
        self.services.0.insert(service.key.clone(), Arc::clone(service));
        self.store.apply([], [service.key.clone()], &self.services)
    }

    pub(crate) fn remove_service(&mut self, name: &str) -> L7Delta {
        self.services.0.remove(&key(name));
        self.store.apply([], [key(name)], &self.services)
    }

    /// Takes objects of YAML.
    pub(crate) fn put(&mut self, yaml: &str) -> L7Delta {
        self.store.apply(inputs(yaml), [], &self.services)
    }

    pub(crate) fn remove(&mut self, id: ObjectId) -> L7Delta {
        self.store.apply([Input::Remove(id)], [], &self.services)
    }

    pub(crate) fn config(&self) -> L7Config {
        self.store.config()
    }

    pub(crate) fn rules(&self, service: &str) -> Arc<ServiceRules> {
        Arc::clone(self.config().rules(&key(service)))
    }
}

/// What is in a text of YAML. What cannot be read must be meant to.
pub(crate) fn inputs(yaml: &str) -> Vec<Input> {
    let parsed = parse_file("f.yaml", yaml);
    let read = |id: &ObjectId| {
        let of = parsed.issues.iter().filter(|issue| issue.object.as_ref() == Some(id));
        of.cloned().collect::<Vec<_>>()
    };
    assert!(parsed.issues.iter().all(|issue| issue.object.is_some()), "{:?}", parsed.issues);
    let refused = parsed.refused.iter().map(|(id, targets)| Input::Refused(id.clone(), targets.clone(), read(id)));
    let objects = parsed.objects.iter().map(|of| Input::Put(Box::new(of.clone()), read(&of.origin.id)));
    refused.chain(objects).collect()
}

/// An object of YAML, its spec indented by nothing.
pub(crate) fn object(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    let api = match kind {
        "AuthorizationPolicy" | "RequestAuthentication" => "security.istio.io/v1",
        "MeshConfig" | "RateLimitPolicy" => "ambit.io/v1alpha1",
        "Telemetry" => "telemetry.istio.io/v1",
        _ => "networking.istio.io/v1",
    };
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  {spec}\n---\n"
    )
}

/// All that was said: severity, field, problem.
pub(crate) fn said(delta: &L7Delta) -> Vec<String> {
    let issues = delta.issues.iter().flat_map(|(_, issues)| issues);
    issues.map(|issue| format!("{} {}: {}", issue.severity.word(), issue.field, issue.problem)).collect()
}

/// A backend in one word.
pub(crate) fn backend(backend: &Backend) -> String {
    match backend {
        Backend::Service { service, port, subset: None } => format!("{service}:{port}"),
        Backend::Service { service, port, subset: Some(subset) } => format!("{service}:{port}/{subset}"),
        Backend::Invalid { status, reference } => format!("{} {reference}", status.as_u16()),
    }
}

/// A pattern in one word.
pub(crate) fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(text) => text.to_string(),
        Pattern::Prefix(text) => format!("{text}*"),
        Pattern::Suffix(text) => format!("*{text}"),
        Pattern::Regex(regex) => format!("~{}", regex.source()),
        Pattern::Present => "*".to_owned(),
    }
}

pub(crate) fn patterns(all: &[Pattern]) -> String {
    all.iter().map(pattern).collect::<Vec<_>>().join(",")
}
