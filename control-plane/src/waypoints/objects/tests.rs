use ambit_model::{Canary, GatewayAddress, HealthPolicy, LoadBalancingMode, Service, WaypointFailure};
use ambit_resources::Kind;
use ambit_xds::Cache;
use serde_json::{Value, json};

use super::*;

fn id(kind: Kind, namespace: &str, name: &str) -> ObjectId {
    ObjectId { kind, namespace: namespace.into(), name: name.into() }
}

fn waypoint(name: &str) -> GatewayKey {
    GatewayKey { namespace: "edge".into(), name: name.into() }
}

/// What happens, and what is told then.
struct Rig(Objects);

impl Rig {
    fn put(&mut self, id: &ObjectId, spec: Value) -> Vec<String> {
        self.0.put(id, Sent::of(id, &json!({ "apiVersion": "v1", "spec": spec })).unwrap());
        self.settle()
    }

    /// A service of namespace `shop` is bound to a waypoint, by its name or another host name, or to none.
    fn bind(&mut self, service: &str, to: Option<&str>) -> Vec<String> {
        self.bind_with(service, to, None)
    }

    /// The same with a canary.
    fn bind_with(&mut self, service: &str, to: Option<&str>, canary: Option<&str>) -> Vec<String> {
        let hostname = |name: &str, namespace: &str| format!("{name}.{namespace}.svc.cluster.local").into();
        let key = ServiceKey { namespace: "shop".into(), hostname: hostname(service, "shop") };
        let address = |name: &str| {
            let hostname = if name.contains('.') { name.into() } else { hostname(name, "edge") };
            Arc::new(GatewayAddress::of_service(ServiceKey { namespace: "edge".into(), hostname }))
        };
        let service = Service {
            key: key.clone(),
            name: service.into(),
            addresses: Vec::new(),
            ports: Vec::new(),
            subject_alt_names: Vec::new(),
            health_policy: HealthPolicy::default(),
            load_balancing: LoadBalancingMode::default(),
            waypoint: to.map(address),
            canary: canary.map(|canary| Canary { waypoint: address(canary), percent: 10 }),
            waypoint_failure: WaypointFailure::default(),
            exported_to: None,
        };
        self.0.bind(&Delta { services: vec![(key, Some(Arc::new(service)))], ..Delta::default() });
        self.settle()
    }

    fn exist(&mut self, names: &[&str]) -> Vec<String> {
        self.0.exist(&names.iter().map(|name| waypoint(name)).collect());
        self.settle()
    }

    fn settle(&mut self) -> Vec<String> {
        let entries: Vec<_> = self.0.settle().iter().map(Told::entry).collect();
        let mut told: Vec<_> = entries.iter().map(Entry::to_string).collect();
        // As the cache takes them.
        Cache::default().publish(entries);
        told.sort();
        told
    }
}

#[test]
fn an_object_is_told_once_to_each_waypoint_it_concerns() {
    let mut rig = Rig(Objects::new("root".into()));
    let (policy, mesh) = (id(Kind::AuthorizationPolicy, "shop", "p"), id(Kind::MeshConfig, "root", "default"));
    assert_eq!(rig.put(&policy, json!({ "action": "DENY" })), [""; 0]);
    assert_eq!(rig.put(&mesh, json!({})), [""; 0]);
    assert_eq!(rig.exist(&["a", "b"]), ["edge/a/MeshConfig/root/default", "edge/b/MeshConfig/root/default"]);
    for refused in ["a.edge.not-allowed.invalid", "a.edge.no-waypoint.invalid"] {
        assert_eq!(rig.bind("web", Some(refused)), [""; 0], "{refused}");
    }
    assert_eq!(rig.bind("web", Some("a")), ["edge/a/AuthorizationPolicy/shop/p"]);
    assert_eq!(rig.bind("web", Some("a.edge.not-allowed.invalid")), ["-edge/a/AuthorizationPolicy/shop/p"]);
    assert_eq!(rig.bind("web", Some("a")), ["edge/a/AuthorizationPolicy/shop/p"]);
    assert_eq!(rig.bind("api", Some("a")), [""; 0]);
    assert_eq!(rig.put(&policy, json!({ "action": "DENY" })), [""; 0]);
    assert_eq!(rig.put(&policy, json!({ "action": "ALLOW" })), ["edge/a/AuthorizationPolicy/shop/p"]);
    // One service of two goes to another waypoint, then the other one to none.
    assert_eq!(rig.bind("web", Some("b")), ["edge/b/AuthorizationPolicy/shop/p"]);
    assert_eq!(rig.bind("api", None), ["-edge/a/AuthorizationPolicy/shop/p"]);
    assert_eq!(rig.exist(&["a"]), ["-edge/b/AuthorizationPolicy/shop/p", "-edge/b/MeshConfig/root/default"]);
    assert_eq!(rig.exist(&["a", "b"]), ["edge/b/AuthorizationPolicy/shop/p", "edge/b/MeshConfig/root/default"]);
    rig.0.remove(&policy);
    assert_eq!(rig.settle(), ["-edge/b/AuthorizationPolicy/shop/p"]);
}

#[test]
fn a_canary_is_told_what_its_waypoint_is_told() {
    let mut rig = Rig(Objects::new("root".into()));
    let policy = id(Kind::AuthorizationPolicy, "shop", "p");
    let told = |waypoint: &str| format!("edge/{waypoint}/AuthorizationPolicy/shop/p");
    rig.put(&policy, json!({ "action": "DENY" }));
    rig.exist(&["a", "b"]);
    assert_eq!(rig.bind_with("web", Some("a"), Some("b")), [told("a"), told("b")]);
    assert_eq!(rig.put(&policy, json!({ "action": "ALLOW" })), [told("a"), told("b")]);
    // It takes its waypoint's place.
    assert_eq!(rig.bind_with("web", Some("b"), Some("a")), [""; 0]);
    assert_eq!(rig.bind("web", Some("b")), [format!("-{}", told("a"))]);
    assert_eq!(rig.bind("web", None), [format!("-{}", told("b"))]);
}

#[test]
fn where_routes_lead_decides_which_rules_are_told() {
    let mut rig = Rig(Objects::new("root".into()));
    let (rule, route) = (id(Kind::DestinationRule, "stock", "r"), id(Kind::HttpRoute, "shop", "h"));
    let leads = |to: &[&str]| {
        let backends: Vec<_> = to.iter().map(|to| json!({ "name": "db", "namespace": to })).collect();
        json!({ "rules": [{ "backendRefs": backends }] })
    };
    rig.put(&rule, json!({ "host": "db" }));
    rig.exist(&["a"]);
    assert_eq!(rig.bind("web", Some("a")), [""; 0]);
    let (told_rule, told_route) = ("edge/a/DestinationRule/stock/r", "edge/a/HTTPRoute/shop/h");
    assert_eq!(rig.put(&route, leads(&["stock"])), [told_rule, told_route]);
    assert_eq!(rig.put(&route, leads(&["stock", "other"])), [told_route]);
    assert_eq!(rig.put(&route, leads(&["other"])), [&format!("-{told_rule}"), told_route]);
    assert_eq!(rig.put(&route, leads(&["stock"])), [told_rule, told_route]);
    rig.0.remove(&route);
    assert_eq!(rig.settle(), [format!("-{told_rule}"), format!("-{told_route}")]);
}
