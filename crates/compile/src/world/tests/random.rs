//! Any way to a state gives the same state.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// An object: its kind and variant, its name and namespace, and numbers to take all else from.
type Given = (u8, u8, &'static str, &'static str, [u8; 3]);

#[derive(Debug, Clone)]
enum Step {
    Put(Given),
    Remove(Given),
    Report(&'static str, bool),
}

fn given() -> impl Strategy<Value = Given> {
    let names = select(&["web", "cart", "db"][..]);
    let namespaces = select(&["shop", "istio-system"][..]);
    (0u8..16, 0u8..30, names, namespaces, [1u8..4, 1..4, 0..4])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => given().prop_map(Step::Put),
        2 => given().prop_map(Step::Remove),
        1 => (select(&["web", "cart", "db"][..]), any::<bool>()).prop_map(|(name, enrolled)| Step::Report(name, enrolled)),
    ]
}

#[expect(clippy::too_many_lines, reason = "one arm a kind")]
fn manifest((kind, variant, name, namespace, [a, b, c]): Given) -> Value {
    let one_of = |all: &[Value]| all[usize::from(variant) % all.len()].clone();
    let labels = one_of(&[
        json!({"app": "web"}),
        json!({"app": "web", "env": "live"}),
        json!({"env": "live"}),
        json!({"app": name}),
        json!({"istio.io/dataplane-mode": "ambient", "app": "web", "networking.istio.io/tunnel": "http"}),
        json!({"app": "web", "istio.io/use-waypoint": "db"}),
        json!({"app": "db", "istio.io/use-waypoint": "none", "networking.istio.io/tunnel": "http"}),
        json!({}),
    ]);
    let selector = if labels == json!({}) { json!({}) } else { json!({"selector": {"matchLabels": labels}}) };
    let created = ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"][usize::from(c) % 2];
    let mut metadata = json!({"name": name, "namespace": namespace, "creationTimestamp": created});
    let waypoint = ["web", "db", "none"][usize::from(c) % 3];
    let asking = match a {
        1 => json!({"istio.io/use-waypoint": waypoint}),
        2 => json!({"istio.io/use-waypoint": waypoint, "istio.io/use-waypoint-namespace": "istio-system"}),
        _ => json!({}),
    };
    let failing = if b == 1 { json!({"ambit.io/waypoint-failure-mode": "open"}) } else { json!({}) };
    let (api_version, kind, rest) = match kind {
        0..=2 => {
            let captured = if c == 1 { json!({CAPTURED: "enabled"}) } else { json!({}) };
            let deleted = if b == 3 { json!("2026-03-01T00:00:00Z") } else { Value::Null };
            merge(
                &mut metadata,
                &json!({"labels": labels, "uid": (a % 2).to_string(), "annotations": captured, "deletionTimestamp": deleted}),
            );
            let ips = if variant == 7 {
                json!([])
            } else {
                json!([{"ip": format!("10.0.0.{a}")}, {"ip": format!("10.0.0.{b}")}])
            };
            let phase = if variant == 9 { "Succeeded" } else { "Running" };
            let ports = json!([{"name": "http", "containerPort": 8080 + u16::from(c)}]);
            let spec =
                json!({"nodeName": format!("n{b}"), "hostNetwork": variant == 8, "containers": [{"ports": ports}]});
            let ready = json!([{"type": "Ready", "status": if c == 3 { "False" } else { "True" }}]);
            ("v1", "Pod", json!({"spec": spec, "status": {"phase": phase, "podIPs": ips, "conditions": ready}}))
        }
        3 => (
            "v1",
            "Service",
            json!({"metadata": {"labels": asking, "annotations": failing}, "spec": {"clusterIP": format!("10.9.0.{b}"), "publishNotReadyAddresses": c == 2, "selector": labels, "ports": [{"name": "http", "port": u16::from(a) * 10, "targetPort": "http"}]}}),
        ),
        4 => {
            metadata = json!({"name": namespace, "annotations": failing, "labels": {"istio.io/dataplane-mode": one_of(&[json!("ambient"), json!("none"), json!("x")]), "team": b.to_string()}});
            merge(&mut metadata, &json!({ "labels": asking }));
            ("v1", "Namespace", json!({}))
        }
        5 => {
            metadata = json!({"name": format!("n{a}"), "labels": {"topology.kubernetes.io/zone": format!("z{b}")}});
            ("v1", "Node", json!({"status": {"addresses": [{"type": "InternalIP", "address": format!("10.0.0.{c}")}]}}))
        }
        6 => {
            let service = ["web", "db"][usize::from(c) % 2];
            merge(&mut metadata, &json!({"labels": {"kubernetes.io/service-name": service}}));
            let pod = json!({"kind": "Pod", "name": "web", "namespace": "shop"});
            let endpoints = json!([{"addresses": [format!("10.0.0.{a}")], "targetRef": pod}, {"addresses": [format!("10.0.1.{b}")]}]);
            (
                "discovery.k8s.io/v1",
                "EndpointSlice",
                json!({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints}),
            )
        }
        7 => {
            let hosts = one_of(&[json!(["x.org"]), json!(["x.org", "y.org"]), json!(["web.shop.svc.cluster.local"])]);
            let addresses = [format!("10.9.0.{a}"), format!("10.0.0.{b}")];
            let mut spec = json!({"hosts": hosts, "addresses": addresses, "resolution": "STATIC", "ports": [{"number": 80, "name": "http"}]});
            if a == 1 {
                merge(&mut spec, &json!({"workloadSelector": {"labels": labels}}));
            } else {
                merge(
                    &mut spec,
                    &json!({"endpoints": [{"address": format!("10.0.0.{a}")}, {"address": format!("10.0.2.{b}")}]}),
                );
            }
            (
                "networking.istio.io/v1",
                "ServiceEntry",
                json!({"metadata": {"labels": asking, "annotations": failing}, "spec": spec}),
            )
        }
        8 => (
            "networking.istio.io/v1",
            "WorkloadEntry",
            json!({"spec": {"address": format!("10.0.0.{a}"), "labels": labels, "ports": {"http": b}}}),
        ),
        10 => {
            let allowed = one_of(&[
                json!({"from": "Same"}),
                json!({"from": "All"}),
                json!({"from": "Selector", "selector": {"matchLabels": {"team": "1"}}}),
            ]);
            let purpose = ["service", "workload", "all", "none"][usize::from(c) % 4];
            merge(&mut metadata, &json!({"labels": {"istio.io/waypoint-for": purpose}}));
            let class = if b == 2 { "mine" } else { "istio-waypoint" };
            let listener =
                json!({"name": "mesh", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"namespaces": allowed}});
            let spec = json!({"gatewayClassName": class, "listeners": [listener]});
            ("gateway.networking.k8s.io/v1", "Gateway", json!({ "spec": spec }))
        }
        11 => {
            metadata = json!({"name": "mine"});
            let controller = ["istio.io/mesh-controller", "example.org/other"][usize::from(a) % 2];
            ("gateway.networking.k8s.io/v1", "GatewayClass", json!({"spec": {"controllerName": controller}}))
        }
        12 | 13 => {
            let target = one_of(&[
                json!({"group": "", "kind": "Service", "name": "web"}),
                json!({"group": "networking.istio.io", "kind": "ServiceEntry", "name": "web"}),
                json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}),
                json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "db"}),
                json!({"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "istio-waypoint"}),
                json!({"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "mine"}),
            ]);
            let spec = json!({"targetRefs": [target]});
            let kind = if kind == 12 { "AuthorizationPolicy" } else { "RequestAuthentication" };
            ("security.istio.io/v1", kind, json!({ "spec": spec }))
        }
        9 => {
            let action = ["ALLOW", "DENY"][usize::from(a) % 2];
            let mut spec = json!({"action": action, "rules": [{}]});
            merge(&mut spec, &selector);
            ("security.istio.io/v1", "AuthorizationPolicy", json!({ "spec": spec }))
        }
        _ => {
            let mut spec = json!({"mtls": {"mode": one_of(&[json!("STRICT"), json!("PERMISSIVE"), json!("UNSET")])}});
            merge(&mut spec, &selector);
            if spec.get("selector").is_some() && a == 1 {
                merge(&mut spec, &json!({"portLevelMtls": {b.to_string(): {"mode": "STRICT"}}}));
            }
            ("security.istio.io/v1", "PeerAuthentication", json!({ "spec": spec }))
        }
    };
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    merge(&mut object, &rest);
    object
}

/// What there is: the objects, and what nodes said that no annotation repeated yet.
#[derive(Debug, Default)]
struct Script {
    objects: BTreeMap<ObjectId, Value>,
    reports: BTreeMap<String, bool>,
}

impl Script {
    fn play(&mut self, step: Step) -> Input {
        match step {
            Step::Put(given) => {
                let object = manifest(given);
                let id = id(given);
                let before = self.objects.insert(id.clone(), object.clone());
                if id.kind == Kind::Pod && *id.namespace == *"shop" {
                    let text =
                        |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
                    let captured = is_captured(&object);
                    let same =
                        before.is_some_and(|before| text(&before, "/metadata/uid") == text(&object, "/metadata/uid"));
                    let ended = text(&object, "/status/phase").as_deref() == Some("Succeeded");
                    if !same || ended || self.reports.get(&*id.name) == Some(&captured) {
                        self.reports.remove(&*id.name);
                    }
                }
                put(object)
            }
            Step::Remove(given) => {
                let id = id(given);
                self.objects.remove(&id);
                if id.kind == Kind::Pod && *id.namespace == *"shop" {
                    self.reports.remove(&*id.name);
                }
                Input::Remove(id)
            }
            Step::Report(name, enrolled) => {
                let id = ObjectId { kind: Kind::Pod, namespace: "shop".into(), name: name.into() };
                let pod = self.objects.get(&id).filter(|pod| pod.pointer("/status/phase") != Some(&json!("Succeeded")));
                if let Some(pod) = pod {
                    if is_captured(pod) == enrolled {
                        self.reports.remove(name);
                    } else {
                        self.reports.insert(name.to_owned(), enrolled);
                    }
                }
                Input::Enrolled { uid: uid(name), enrolled }
            }
        }
    }

    /// All there is, in another order than it came.
    fn anew(&self) -> Vec<Input> {
        let objects = self.objects.values().rev().cloned().map(put);
        let reports =
            self.reports.iter().map(|(name, enrolled)| Input::Enrolled { uid: uid(name), enrolled: *enrolled });
        objects.chain(reports).collect()
    }
}

fn is_captured(pod: &Value) -> bool {
    pod.pointer("/metadata/annotations/ambient.istio.io~1redirection").is_some()
}

fn id(given: Given) -> ObjectId {
    match put(manifest(given)) {
        Input::Put(parsed, _) => parsed.origin.id,
        Input::Refused(..) | Input::Remove(_) | Input::Enrolled { .. } => panic!("{given:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_that_was_changed_means_what_a_new_one_means(batches in vec(vec(step(), 0..5), 1..16)) {
        let mut store = reporting();
        let (mut script, mut known) = (Script::default(), Known::default());
        for batch in batches {
            let inputs: Vec<_> = batch.into_iter().map(|step| script.play(step)).collect();
            known.follow(store.apply(inputs));
            let mut new = reporting();
            let mut expected = Known::default();
            expected.follow(new.apply(script.anew()));
            prop_assert_eq!(&known, &expected);
            prop_assert_eq!(store.compile(), new.compile());
        }
    }
}
