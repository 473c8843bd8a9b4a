//! Objects one by one, through [`Store::apply`].

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{HostPort, TunnelProtocol, Workload, WorkloadUid};
use ambit_resources::{Kind, ObjectId, parse_object};
use serde_json::{Value, json};

use crate::{Delta, Input, Options, Store, Tunnels};

mod cost;
mod endpoints;
mod random;
mod waypoints;

fn object(api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
    merge(&mut object, rest);
    object
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn put(object: Value) -> Input {
    match parse_object(object, &"Kubernetes".into()) {
        Ok((parsed, issues)) => Input::Put(Box::new(parsed.unwrap()), issues),
        Err(refusal) => Input::Refused(refusal.id.unwrap(), refusal.targets, refusal.issues),
    }
}

fn pod(name: &str, address: &str, rest: Value) -> Value {
    let mut pod = object("v1", "Pod", name, &json!({"metadata": {"uid": "1"}, "spec": {"nodeName": "n1"}}));
    if !address.is_empty() {
        merge(&mut pod, &json!({"status": {"phase": "Running", "podIP": address}}));
    }
    merge(&mut pod, &rest);
    pod
}

fn namespace(mode: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": mode}}})
}

fn remove(kind: Kind, namespace: &str, name: &str) -> Input {
    Input::Remove(ObjectId { kind, namespace: namespace.into(), name: name.into() })
}

fn uid(name: &str) -> WorkloadUid {
    WorkloadUid::pod("Kubernetes", "shop", name)
}

/// The workloads of a delta in one line each.
fn workloads(delta: &Delta, show: impl Fn(&Workload) -> String) -> Vec<String> {
    let shown = |(uid, workload): &(WorkloadUid, Option<Arc<Workload>>)| {
        format!("{} {}", uid.name(), workload.as_ref().map_or_else(|| "gone".to_owned(), |workload| show(workload)))
    };
    delta.workloads.iter().map(shown).collect()
}

fn reporting() -> Store {
    Store::new(Options { tunnels: Tunnels::AsReported, ..Options::default() })
}

const CAPTURED: &str = "ambient.istio.io/redirection";

#[test]
fn a_pod_takes_tunnels_once_it_is_captured_and_only_while_it_is_wished_for() {
    let annotated = || pod("web", "10.0.0.1", json!({"metadata": {"annotations": {CAPTURED: "enabled"}}}));
    let plain = || pod("web", "10.0.0.1", json!({}));
    let successor = || pod("web", "10.0.0.1", json!({"metadata": {"uid": "2"}}));
    let report = |enrolled| Input::Enrolled { uid: uid("web"), enrolled };
    // What happens; then whether the pod is to be captured, and whether it takes tunnels.
    let steps: Vec<(Vec<Input>, bool, bool)> = vec![
        (vec![put(plain())], false, false),
        (vec![put(namespace("ambient"))], true, false),
        (vec![report(true)], true, true),
        (vec![put(plain())], true, true),
        (vec![put(annotated())], true, true),
        (vec![put(plain())], true, false), // the annotation said the same, and since then rules
        (vec![put(annotated())], true, true),
        (vec![report(false)], true, false),
        (vec![put(annotated())], true, false),
        (vec![put(plain())], true, false),
        (vec![report(true), put(successor())], true, false), // nobody captured that one
        (vec![report(true)], true, true),
        (vec![put(namespace("none"))], false, false),
        (vec![put(namespace("ambient"))], true, true),
        (vec![remove(Kind::Namespace, "", "shop")], false, false),
        (
            vec![
                put(namespace("ambient")),
                put(pod("web", "10.0.0.1", json!({"metadata": {"uid": "2"}, "spec": {"hostNetwork": true}}))),
            ],
            false,
            false,
        ),
    ];
    let mut store = reporting();
    let (mut enrol, mut tunnels) = (false, false);
    for (at, (inputs, wished, expected)) in steps.into_iter().enumerate() {
        let delta = store.apply(inputs);
        enrol = delta.pods.last().map_or(enrol, |(_, pod)| pod.as_ref().is_some_and(|pod| pod.enrol));
        let hbone = |workload: &Arc<Workload>| workload.tunnel_protocol == TunnelProtocol::Hbone;
        tunnels = delta.workloads.last().map_or(tunnels, |(_, workload)| hbone(workload.as_ref().unwrap()));
        assert_eq!((enrol, tunnels), (wished, expected), "step {at}");
    }
}

#[test]
fn a_node_is_told_of_a_pod_once_it_is_known_whether_it_is_to_be_enrolled() {
    let labelled = |mode: &str| pod("web", "", json!({"metadata": {"labels": {"istio.io/dataplane-mode": mode}}}));
    let plain = || put(pod("web", "", json!({})));
    // What happens; then what the node is told, if it is told anything.
    let steps: Vec<(Input, Option<Option<bool>>)> = vec![
        (plain(), None),
        (put(labelled("x")), None),
        (put(labelled("none")), Some(Some(false))),
        (put(labelled("ambient")), Some(Some(true))),
        (plain(), Some(None)),
        (put(namespace("x")), Some(Some(false))),
        (put(namespace("ambient")), Some(Some(true))),
        (remove(Kind::Namespace, "", "shop"), Some(None)),
    ];
    let mut store = reporting();
    for (at, (input, expected)) in steps.into_iter().enumerate() {
        let delta = store.apply([input]);
        let told = delta.pods.first().map(|(_, pod)| pod.as_ref().map(|pod| pod.enrol));
        assert_eq!(told, expected, "step {at}");
    }
}

#[test]
fn nothing_a_user_may_set_on_a_pod_keeps_it_as_it_was() {
    let mut store = reporting();
    let odd = json!({
        "labels": {"istio.io/dataplane-mode": "ambient", "service.istio.io/canonical-name": "-", "app": ""},
        "annotations": {
            "ambit.io/netns": "../x", "ambit.io/same-node": "x", CAPTURED: "x", "sidecar.istio.io/status": "",
        },
        "ownerReferences": [{"kind": "x", "name": "", "controller": true}],
    });
    store.apply([put(namespace("none")), put(pod("web", "10.0.0.1", json!({})))]);
    let delta = store.apply([put(pod("web", "10.0.0.2", json!({ "metadata": odd })))]);
    assert_eq!(workloads(&delta, |workload| workload.addresses[0].to_string()), ["web 10.0.0.2"]);
    assert_eq!(delta.pods[0].1.as_ref().unwrap().netns, None);
    assert!(delta.issues.iter().flat_map(|(_, issues)| issues).all(|issue| !issue.is_error()), "{:?}", delta.issues);
}

#[test]
fn a_node_is_told_the_host_ports_of_its_pods() {
    for (host_network, port, expected) in [
        (false, json!({"containerPort": 80}), vec![]),
        (false, json!({"containerPort": 80, "hostPort": 8080}), vec!["every 8080>80"]),
        (false, json!({"containerPort": 80, "hostPort": 8080, "hostIP": "0.0.0.0"}), vec!["every 8080>80"]),
        (false, json!({"containerPort": 80, "hostPort": 8080, "hostIP": "10.9.0.1"}), vec!["10.9.0.1 8080>80"]),
        (false, json!({"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}), vec![]),
        (true, json!({"containerPort": 80, "hostPort": 80}), vec![]),
    ] {
        let container = json!({"name": "web", "ports": [port]});
        let spec = json!({"hostNetwork": host_network, "containers": [container], "initContainers": []});
        let delta = Store::default().apply([put(pod("web", "10.0.0.1", json!({ "spec": spec })))]);
        let told = &delta.pods[0].1.as_ref().unwrap().host_ports;
        let address = |it: &HostPort| it.address.map_or("every".to_owned(), |address| address.to_string());
        let told: Vec<_> = told.iter().map(|it| format!("{} {}>{}", address(it), it.port, it.pod_port)).collect();
        assert_eq!(told, expected, "{port} {host_network}");
    }
}

#[test]
fn a_mesh_that_is_dissolved_wishes_for_nobody() {
    let mut store = Store::new(Options { dissolve: true, ..Options::default() });
    let delta = store.apply([put(namespace("ambient")), put(pod("web", "10.0.0.1", json!({})))]);
    assert_eq!(delta.meshed_namespaces, []);
    assert!(!delta.pods[0].1.as_ref().unwrap().enrol);
    assert_eq!(delta.workloads[0].1.as_ref().unwrap().tunnel_protocol, TunnelProtocol::None);
}

#[test]
fn a_node_is_told_of_a_pod_from_its_scheduling_to_its_end() {
    let status = |status: Value| pod("web", "", json!({"status": status}));
    let host = pod(
        "web",
        "10.0.0.1",
        json!({"spec": {"hostNetwork": true}, "metadata": {"labels": {"istio.io/dataplane-mode": "ambient"}}}),
    );
    let mut store = Store::default();
    store.apply([put(namespace("ambient"))]);
    // The pod; then whether its node is told of it as one to be captured, and its addresses in discovery.
    let steps: [(Value, Option<bool>, Option<usize>); 6] = [
        (object("v1", "Pod", "web", &json!({})), None, None),
        (status(json!({"phase": "Pending"})), Some(true), None),
        (
            status(json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]})),
            Some(true),
            Some(2),
        ),
        (host, Some(false), Some(1)),
        (status(json!({"phase": "Running", "podIP": "10.0.0.1"})), Some(true), Some(1)),
        (status(json!({"phase": "Succeeded", "podIP": "10.0.0.1"})), None, None),
    ];
    let (mut told, mut known) = (None, None);
    for (object, expected, addresses) in steps {
        let delta = store.apply([put(object.clone())]);
        assert_eq!(delta.issues.iter().filter(|(id, _)| id.kind != Kind::Pod).count(), 0);
        for (_, pod) in &delta.pods {
            told = pod.as_ref().map(|pod| (pod.enrol, pod.pod_uid.to_string()));
        }
        for (_, workload) in &delta.workloads {
            known = workload.as_ref().map(|workload| workload.addresses.len());
        }
        assert_eq!(told, expected.map(|enrol| (enrol, "1".to_owned())), "{object}");
        assert_eq!(known, addresses, "{object}");
    }
}

#[test]
fn namespaces_are_told_when_they_join_and_when_they_leave() {
    let mut store = Store::default();
    for (mode, expected) in
        [("none", None), ("ambient", Some(true)), ("ambient", None), ("none", Some(false)), ("none", None)]
    {
        let delta = store.apply([put(namespace(mode))]);
        assert_eq!(
            delta.meshed_namespaces,
            expected.map(|meshed| ("shop".into(), meshed)).into_iter().collect::<Vec<_>>()
        );
    }
    store.apply([put(namespace("ambient"))]);
    let delta = store.apply([remove(Kind::Namespace, "", "shop")]);
    assert_eq!(delta.meshed_namespaces, [("shop".into(), false)]);
}

#[test]
fn a_namespace_is_meshed_as_long_as_a_pod_wishes_for_itself() {
    let wishing =
        |name: &str, mode: &str| put(pod(name, "", json!({"metadata": {"labels": {"istio.io/dataplane-mode": mode}}})));
    let mut store = reporting();
    for (at, (input, expected)) in [
        (wishing("a", "ambient"), Some(true)),
        (wishing("a", "ambient"), None),
        (wishing("b", "ambient"), None),
        (wishing("a", "none"), None),
        (put(namespace("ambient")), None),
        (remove(Kind::Pod, "shop", "b"), None),
        (wishing("b", "ambient"), None),
        (put(namespace("none")), None),
        (put(pod("b", "", json!({"spec": {"hostNetwork": true}}))), Some(false)),
        (wishing("b", "ambient"), Some(true)),
        (remove(Kind::Pod, "shop", "b"), Some(false)),
    ]
    .into_iter()
    .enumerate()
    {
        let meshed = store.apply([input]).meshed_namespaces;
        assert_eq!(meshed.first().map(|(_, meshed)| *meshed), expected, "step {at}");
    }
}

#[test]
fn only_a_pod_takes_the_address_of_a_pod_and_only_of_one_on_its_way_out() {
    let entry =
        |name: &str| object("networking.istio.io/v1", "WorkloadEntry", name, &json!({"spec": {"address": "10.0.0.1"}}));
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-31T09:30:00Z"}});
    let mut store = Store::default();
    let mut has = BTreeMap::new();
    // What happens; then who has the address.
    for (at, (input, expected)) in [
        (put(entry("m")), "m"),
        (put(pod("b", "10.0.0.1", leaving.clone())), "b"),
        (put(entry("m2")), "b"),
        (put(pod("c", "10.0.0.1", json!({}))), "c"),
        (put(pod("a", "10.0.0.1", json!({}))), "a"),
        (put(pod("a", "10.0.0.1", leaving)), "c"),
        (remove(Kind::Pod, "shop", "c"), "a"),
        (remove(Kind::Pod, "shop", "a"), "b"),
        (remove(Kind::Pod, "shop", "b"), "m"),
    ]
    .into_iter()
    .enumerate()
    {
        for (uid, workload) in store.apply([input]).workloads {
            has.insert(uid.name().to_owned(), workload.is_some_and(|workload| !workload.addresses.is_empty()));
        }
        let holders: Vec<_> = has.iter().filter(|(_, has)| **has).map(|(name, _)| name.as_str()).collect();
        assert_eq!(holders, [expected], "step {at}");
    }
}

#[test]
fn an_address_passes_from_one_pod_to_the_next_and_who_loses_is_told() {
    let mut store = Store::default();
    let addresses = |workload: &Workload| workload.addresses.len().to_string();
    store.apply([put(pod("a", "10.0.0.1", json!({})))]);
    let delta = store.apply([put(pod("b", "10.0.0.1", json!({})))]);
    assert_eq!(workloads(&delta, addresses), ["b 0"]);
    let said =
        |delta: &Delta| delta.issues.iter().map(|(id, issues)| format!("{id}: {}", issues.len())).collect::<Vec<_>>();
    assert_eq!(said(&delta), ["Pod shop/b: 1"]);
    assert_eq!(
        delta.issues[0].1[0].to_string(),
        "Kubernetes: error: Pod shop/b: status.podIPs: 10.0.0.1 is already the address of Pod shop/a: left out here"
    );
    let delta =
        store.apply([put(pod("a", "10.0.0.1", json!({"metadata": {"deletionTimestamp": "2026-01-31T09:30:00Z"}})))]);
    assert_eq!(workloads(&delta, addresses), ["a 0", "b 1"], "who is on its way out gives way");
    assert_eq!(said(&delta), ["Pod shop/a: 1", "Pod shop/b: 0"]);
    let delta = store.apply([remove(Kind::Pod, "shop", "a")]);
    assert_eq!(workloads(&delta, addresses), ["a gone"]);
    assert_eq!(said(&delta), ["Pod shop/a: 0"]);
}

#[test]
fn the_last_valid_version_stays_in_force_and_the_issues_say_so() {
    let policy = |spec: Value| object("security.istio.io/v1", "AuthorizationPolicy", "p", &json!({"spec": spec}));
    let mut store = Store::default();
    let last = |delta: &Delta| delta.issues.first().and_then(|(_, issues)| issues.last()).map(ToString::to_string);
    let never = "Kubernetes: error: AuthorizationPolicy shop/p: not in force: there is no earlier version to keep";
    let kept = "Kubernetes: error: AuthorizationPolicy shop/p: the last valid version stays in force";
    // The spec; then how many policies change, and the last thing said.
    for (spec, changed, expected) in [
        (json!({"acton": "DENY"}), 0, Some(never)),
        (json!({"rules": [{"to": [{"operation": {"ports": ["x"]}}]}]}), 0, Some(never)),
        (json!({}), 1, None),
        (json!({}), 0, None),
        (json!({"acton": "DENY"}), 0, Some(kept)),
        (json!({"rules": [{"to": [{"operation": {"ports": ["x"]}}]}]}), 0, Some(kept)),
        (json!({"action": "DENY", "rules": [{}]}), 1, None),
    ] {
        let delta = store.apply([put(policy(spec.clone()))]);
        assert_eq!(delta.authorizations.len(), changed, "{spec}");
        assert_eq!(last(&delta).as_deref(), expected, "{spec}");
    }
}

#[test]
fn a_node_tells_where_its_pods_are() {
    let node = |zone: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": zone}}});
    let zone =
        |workload: &Workload| workload.locality.as_ref().map_or("-".into(), |it| format!("{}/{}", it.region, it.zone));
    let mut store = Store::default();
    let delta = store.apply([put(pod("web", "10.0.0.1", json!({})))]);
    assert_eq!(workloads(&delta, zone), ["web -"]);
    for (input, expected) in [
        (put(node("z1")), &["web r/z1"][..]),
        (put(node("z1")), &[]),
        (put(node("z2")), &["web r/z2"]),
        (remove(Kind::Node, "", "n1"), &["web -"]),
    ] {
        assert_eq!(workloads(&store.apply([input]), zone), expected);
    }
}

/// What a receiver of deltas knows.
#[derive(Debug, Default, PartialEq)]
struct Known {
    workloads: BTreeMap<String, String>,
    services: BTreeMap<String, String>,
    authorizations: BTreeMap<String, String>,
    pods: BTreeMap<String, String>,
    meshed: BTreeMap<String, String>,
    issues: BTreeMap<String, String>,
}

impl Known {
    fn follow(&mut self, delta: Delta) {
        let Delta { workloads, services, authorizations, pods, meshed_namespaces, issues, cost: _ } = delta;
        for (uid, it) in workloads {
            note(&mut self.workloads, uid.to_string(), it.map(|it| format!("{it:?}")));
        }
        for (key, it) in services {
            note(&mut self.services, key.to_string(), it.map(|it| format!("{it:?}")));
        }
        for (key, it) in authorizations {
            note(&mut self.authorizations, key.to_string(), it.map(|it| format!("{it:?}")));
        }
        for (uid, it) in pods {
            note(&mut self.pods, uid.to_string(), it.map(|it| format!("{it:?}")));
        }
        for (namespace, meshed) in meshed_namespaces {
            note(&mut self.meshed, namespace.to_string(), meshed.then(String::new));
        }
        for (id, issues) in issues {
            let issues: Vec<_> = issues.iter().map(ToString::to_string).collect();
            note(&mut self.issues, id.to_string(), (!issues.is_empty()).then(|| issues.join("\n")));
        }
    }
}

/// Notes what a delta says, which must be news.
fn note(known: &mut BTreeMap<String, String>, key: String, value: Option<String>) {
    assert_ne!(known.get(&key), value.as_ref(), "{key}: no news");
    match value {
        Some(value) => drop(known.insert(key, value)),
        None => drop(known.remove(&key)),
    }
}
