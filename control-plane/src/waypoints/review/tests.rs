use ambit_compile::Tunnels;
use ambit_resources::Kind;
use serde_json::json;

use super::*;
use crate::waypoints::{Objects, Sent};

/// A cluster as far as it decides what objects come to, with the waypoint `shop/wp`.
struct Rig {
    store: ambit_compile::Store,
    objects: Objects,
    review: Review,
}

impl Rig {
    fn new() -> Self {
        let options = ambit_compile::Options { tunnels: Tunnels::AsReported, ..ambit_compile::Options::default() };
        let review = Review::new(Arc::default(), Arc::default(), Arc::default(), "istio-system".into());
        let mut rig =
            Self { store: ambit_compile::Store::new(options), objects: Objects::new("istio-system".into()), review };
        rig.put(
            (Kind::Gateway, "gateway.networking.k8s.io/v1"),
            "wp",
            &json!({}),
            &json!({
                "gatewayClassName": "istio-waypoint",
                "listeners": [{ "name": "mesh", "port": 15008, "protocol": "HBONE" }],
            }),
        );
        rig.objects.exist(&[waypoint()].into());
        let waiting = Waiting { waypoints: Some([waypoint()].into()), ..Waiting::default() };
        rig.settle(waiting);
        rig
    }

    /// An object of namespace `shop` comes or changes; what is said of all that this concerns.
    fn put(
        &mut self,
        (kind, api_version): (Kind, &str),
        name: &str,
        labels: &Value,
        spec: &Value,
    ) -> BTreeMap<String, Reviewed> {
        let metadata = json!({ "name": name, "namespace": "shop", "labels": labels });
        let object = json!({ "apiVersion": api_version, "kind": kind.word(), "metadata": metadata, "spec": spec });
        let id = ObjectId { kind, namespace: "shop".into(), name: name.into() };
        let mut waiting = Waiting::default();
        if let Some(sent) = Sent::of(&id, &object) {
            waiting.objects.insert(id.clone(), Some(sent.json().clone()));
            self.objects.put(&id, sent);
        }
        let delta = self.store.apply([read(&id, object)]);
        self.objects.bind(&delta);
        waiting.services.extend(delta.services);
        self.settle(waiting)
    }

    fn settle(&mut self, mut waiting: Waiting) -> BTreeMap<String, Reviewed> {
        let told = self.objects.settle().into_iter();
        waiting.told = told.map(|it| ((it.waypoint, it.id), it.object.map(|object| object.json))).collect();
        let reviewed = self.review.round(waiting);
        reviewed.into_iter().map(|it| (it.id.to_string(), it)).collect()
    }

    fn service(&mut self, name: &str, labels: &Value) -> BTreeMap<String, Reviewed> {
        let spec = json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80, "name": "http" }] });
        self.put((Kind::Service, "v1"), name, labels, &spec)
    }

    fn route(&mut self, parent: &Value, backend: &str) -> Vec<String> {
        let spec = json!({ "parentRefs": [parent], "rules": [{ "backendRefs": [{ "name": backend, "port": 80 }] }] });
        let reviewed = self.put((Kind::HttpRoute, "gateway.networking.k8s.io/v1"), "r", &json!({}), &spec);
        said(&reviewed["HTTPRoute shop/r"])
    }
}

fn waypoint() -> GatewayKey {
    GatewayKey { namespace: "shop".into(), name: "wp".into() }
}

fn said(reviewed: &Reviewed) -> Vec<String> {
    let of = |it: &ParentStatus| format!("{} {}", it.accepted.reason, it.resolved_refs.reason);
    reviewed.route.parents.iter().map(of).collect()
}

#[test]
fn routes_are_told_what_they_come_to_at_their_waypoint() {
    let mut rig = Rig::new();
    let behind = json!({ "istio.io/use-waypoint": "wp" });
    rig.service("web", &behind);
    let service = json!({ "group": "", "kind": "Service", "name": "web" });
    let gateway = json!({ "name": "wp" });
    for (parent, backend, expected) in [
        (&service, "web", &["Accepted ResolvedRefs"][..]),
        (&service, "nobody", &["Accepted BackendNotFound"]),
        (&gateway, "web", &["Accepted ResolvedRefs"]),
        (&json!({ "name": "wp", "sectionName": "other" }), "web", &["NoMatchingParent ResolvedRefs"]),
        (
            &json!({ "group": "", "kind": "Service", "name": "web", "port": 81 }),
            "web",
            &["NoMatchingParent ResolvedRefs"],
        ),
        (&json!({ "name": "other" }), "web", &[]),
    ] {
        assert_eq!(rig.route(parent, backend), expected, "{parent} {backend}");
    }
    assert_eq!(rig.route(&service, "late"), ["Accepted BackendNotFound"]);
    let reviewed = rig.service("late", &json!({}));
    assert_eq!(said(&reviewed["HTTPRoute shop/r"]), ["Accepted ResolvedRefs"], "another object changed it");
    let reviewed = rig.service("web", &json!({}));
    assert_eq!(said(&reviewed["HTTPRoute shop/r"]), [""; 0], "no longer behind it");
}

#[test]
fn routes_attached_to_a_waypoint_are_counted() {
    let mut rig = Rig::new();
    let count = |rig: &Rig| rig.review.waypoints[&waypoint()].routes.count("mesh");
    rig.service("web", &json!({ "istio.io/use-waypoint": "wp" }));
    for (parent, expected) in [
        (json!({ "name": "wp" }), 1),
        (json!({ "name": "wp", "sectionName": "mesh" }), 1),
        (json!({ "name": "wp", "sectionName": "other" }), 0),
        (json!({ "group": "", "kind": "Service", "name": "web" }), 0),
    ] {
        rig.route(&parent, "web");
        assert_eq!(count(&rig), expected, "{parent}");
    }
}

#[test]
fn policies_are_told_which_waypoint_enforces_them() {
    let mut rig = Rig::new();
    rig.service("web", &json!({ "istio.io/use-waypoint": "wp" }));
    rig.service("alone", &json!({}));
    let target = |kind: &str, name: &str| json!({ "kind": kind, "name": name, "group": if kind == "Service" { "" } else { "gateway.networking.k8s.io" } });
    for (target, expected) in [
        (target("Service", "web"), Some("true Accepted in force at shop/wp")),
        (
            target("Service", "alone"),
            Some("false AncestorNotBound Service shop/alone is behind no waypoint (istio.io/use-waypoint)"),
        ),
        (target("Service", "none"), Some("false TargetNotFound there is no Service shop/none")),
        (target("Gateway", "wp"), Some("true Accepted in force at shop/wp")),
        (target("Gateway", "edge"), None),
    ] {
        let reviewed = rig.put(
            (Kind::AuthorizationPolicy, "security.istio.io/v1"),
            "p",
            &json!({}),
            &json!({ "targetRefs": [target], "rules": [{}] }),
        );
        let found = reviewed["AuthorizationPolicy shop/p"].attached.clone();
        let found = found.map(|it| format!("{} {} {}", it.holds, it.reason, it.message));
        assert_eq!(found.as_deref(), expected, "{target}");
    }
}

#[test]
fn a_rule_without_its_credential_is_told_so_until_it_is_there() {
    let mut rig = Rig::new();
    rig.service("web", &json!({ "istio.io/use-waypoint": "wp" }));
    let spec = json!({ "host": "web", "trafficPolicy": { "tls": { "mode": "SIMPLE", "credentialName": "c" } } });
    let issues = |reviewed: &BTreeMap<String, Reviewed>| {
        let all = reviewed["DestinationRule shop/web"].waypoints.values().flatten();
        all.map(|issue| format!("{}: {}", issue.field, issue.problem)).collect::<Vec<_>>()
    };
    let missing = "spec.trafficPolicy.tls.credentialName: Secret shop/c is not there, or may not be read: connections that need it are refused";
    let reviewed = rig.put((Kind::DestinationRule, "networking.istio.io/v1"), "web", &json!({}), &spec);
    assert_eq!(issues(&reviewed), [missing]);
    let metadata = json!({ "name": "web", "namespace": "shop" });
    let rule = json!({ "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": spec });
    let (parsed, _) = parse_object(rule, &Arc::from("test")).unwrap();
    assert_eq!(issues_of(&parsed.unwrap(), &"istio-system".into()), [], "by itself nothing is wrong with it");
    let wanted: Vec<_> = rig.objects.credentials()[&waypoint()].iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(wanted, ["Secret shop/c", "Secret shop/c-cacert"]);
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let secret = |data: Value| {
        let id = ObjectId { kind: Kind::Secret, namespace: "shop".into(), name: "c".into() };
        let metadata = json!({ "name": "c", "namespace": "shop" });
        let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data });
        ((waypoint(), id), Some(Bytes::from(object.to_string())))
    };
    for (data, expected) in [(json!({ "ca.crt": pem }), 0), (json!({ "ca.crt": "?" }), 1)] {
        let waiting = Waiting { told: [secret(data)].into(), ..Waiting::default() };
        let reviewed: BTreeMap<_, _> =
            rig.review.round(waiting).into_iter().map(|it| (it.id.to_string(), it)).collect();
        assert_eq!(issues(&reviewed).len(), expected);
    }
}

#[test]
fn what_is_not_valid_does_not_take_the_place_of_what_is() {
    let mut objects = Objects::new("istio-system".into());
    objects.exist(&[waypoint()].into());
    objects.settle();
    let id = ObjectId { kind: Kind::AuthorizationPolicy, namespace: "shop".into(), name: "p".into() };
    let sent = |version: u32| Sent::of(&id, &json!({ "spec": { "version": version } })).unwrap();
    let mut put = |sent| {
        let kept = objects.put(&id, sent);
        (kept, objects.settle().into_iter().filter_map(|told| Some(told.object?.json)).collect::<Vec<_>>())
    };
    assert_eq!(
        put(sent(1).refused()),
        (false, vec![sent(1).json().clone()]),
        "a policy that was never valid is closed"
    );
    assert_eq!(put(sent(2)), (false, vec![sent(2).json().clone()]));
    assert_eq!(put(sent(3).refused()), (true, vec![]));
    assert_eq!(put(sent(4)), (false, vec![sent(4).json().clone()]));
}
