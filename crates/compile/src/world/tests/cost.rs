//! One changed object costs what depends on it.

use super::*;
use crate::Cost;

const PODS: usize = 10_000;
const PER_SERVICE: usize = 10;
const NAMESPACES: usize = 10;

fn name(n: usize) -> String {
    format!("pod-{n:05}")
}

fn namespace_of(n: usize) -> String {
    format!("ns-{}", n % NAMESPACES)
}

fn app(n: usize) -> String {
    format!("app-{}", n / (PER_SERVICE * NAMESPACES))
}

fn replica(n: usize, ready: &str) -> Value {
    let [_, _, a, b] = u32::try_from(n).unwrap().to_be_bytes();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name(n), "namespace": namespace_of(n), "labels": {"app": app(n), "env": "live"}, "uid": n.to_string()},
        "spec": {"nodeName": format!("node-{}", n % 100)},
        "status": {"podIP": format!("10.0.{a}.{b}"), "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

fn selecting(api_version: &str, kind: &str, n: usize, name: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace_of(n)}, "spec": spec})
}

fn service(n: usize, app: &str, port: u16) -> Value {
    selecting(
        "v1",
        "Service",
        n,
        &super::cost::app(n),
        json!({"selector": {"app": app, "env": "live"}, "ports": [{"port": port}]}),
    )
}

/// Ten thousand pods, ten to a service, in ten namespaces, on a hundred nodes.
fn store() -> Store {
    let mut store = Store::default();
    let services = (0..PODS).step_by(PER_SERVICE * NAMESPACES).flat_map(|n| n..n + NAMESPACES);
    let services: Vec<_> = services.map(|n| put(service(n, &app(n), 80))).collect();
    let namespaces = (0..NAMESPACES)
        .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_of(n)}}));
    let pods = (0..PODS).map(|n| put(replica(n, "True")));
    let delta = store.apply(namespaces.map(put).chain(services).chain(pods).collect::<Vec<_>>());
    assert_eq!((delta.workloads.len(), delta.services.len()), (PODS, PODS / PER_SERVICE));
    assert_eq!(delta.cost, Cost { workloads: PODS, replicas: PODS / PER_SERVICE, endpoints: 0 });
    assert!(delta.workloads.iter().all(|(_, workload)| workload.as_ref().unwrap().services.len() == 1));
    store
}

/// What happens; what it costs; and how many workloads, services and policies come out otherwise.
type Case = (&'static str, Vec<Input>, Cost, (usize, usize, usize));

#[test]
#[expect(clippy::too_many_lines, reason = "a table, and what is in it")]
fn one_changed_object_costs_what_depends_on_it() {
    let policy = |labels: Value| {
        selecting("security.istio.io/v1", "AuthorizationPolicy", 0, "p", json!({"selector": {"matchLabels": labels}}))
    };
    let wide = || {
        selecting("security.istio.io/v1", "AuthorizationPolicy", 0, "wide", json!({"action": "DENY", "rules": [{}]}))
    };
    let peer = |spec: Value| selecting("security.istio.io/v1", "PeerAuthentication", 0, "p", spec);
    let slice = |address: &str| {
        let rest = json!({
            "metadata": {"namespace": "ns-0", "labels": {"kubernetes.io/service-name": "bare"}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 80}], "endpoints": [{"addresses": [address]}],
        });
        object("discovery.k8s.io/v1", "EndpointSlice", "bare-1", &rest)
    };
    let ambient = |n: usize, mode: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_of(n), "labels": {"istio.io/dataplane-mode": mode}}});
    let wishing = |n: usize| {
        let mut pod = replica(n, "False");
        merge(&mut pod, &json!({"metadata": {"labels": {"istio.io/dataplane-mode": "ambient"}}}));
        pod
    };
    let gateway = |rest: &Value| {
        let mut gateway = selecting(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            0,
            "wp",
            json!({"gatewayClassName": "istio-waypoint"}),
        );
        merge(&mut gateway, rest);
        gateway
    };
    let waypointed = |n: usize| {
        let mut service = service(n, &app(100), 81);
        merge(&mut service, &json!({"metadata": {"labels": {"istio.io/use-waypoint": "wp"}}}));
        service
    };
    let behind = |n: usize| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_of(n), "labels": {"istio.io/use-waypoint": "wp"}}});
    let attached = || {
        selecting(
            "security.istio.io/v1",
            "AuthorizationPolicy",
            0,
            "l7",
            json!({"targetRefs": [{"kind": "Service", "name": app(0)}], "rules": [{}]}),
        )
    };
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-7", "labels": {"topology.kubernetes.io/zone": "z"}}});
    let all = |workloads, replicas, endpoints| Cost { workloads, replicas, endpoints };
    let in_namespace = PODS / NAMESPACES;
    let mut store = store();
    let cases: Vec<Case> = vec![
        ("nothing", vec![], all(0, 0, 0), (0, 0, 0)),
        ("the same pod", vec![put(replica(7, "True"))], all(1, 0, 0), (0, 0, 0)),
        ("readiness", vec![put(replica(7, "False"))], all(1, 0, 0), (1, 0, 0)),
        ("a pod of a new application", vec![put(replica(PODS, "True"))], all(1, 1, 0), (1, 0, 0)),
        ("a pod wishes to be enrolled for itself", vec![put(wishing(7))], all(1, 1, 0), (1, 0, 0)),
        ("and no longer does", vec![put(replica(7, "False"))], all(1, 0, 0), (1, 0, 0)),
        ("a pod goes", vec![remove(Kind::Pod, &namespace_of(7), &name(7))], all(1, 0, 0), (1, 0, 0)),
        ("the same service", vec![put(service(0, &app(0), 80))], all(0, 0, 0), (0, 0, 0)),
        ("a service's port", vec![put(service(0, &app(0), 81))], all(10, 1, 0), (10, 1, 0)),
        ("a service's selector", vec![put(service(0, &app(100), 81))], all(20, 2, 0), (20, 0, 0)),
        ("a namespace is labelled", vec![put(ambient(1, "ambient"))], all(in_namespace, 0, 0), (in_namespace, 0, 0)),
        ("a policy with a selector", vec![put(policy(json!({"app": app(200)})))], all(10, 1, 0), (10, 0, 1)),
        ("another selector", vec![put(policy(json!({"app": app(300)})))], all(20, 2, 0), (20, 0, 0)),
        ("a policy for a namespace", vec![put(wide())], all(0, 0, 0), (0, 0, 1)),
        (
            "a mode for some",
            vec![put(peer(json!({"selector": {"matchLabels": {"app": app(400)}}, "mtls": {"mode": "STRICT"}})))],
            all(10, 1, 0),
            (10, 0, 1),
        ),
        (
            "a mode for a namespace, where ten pods have it already",
            vec![put(peer(json!({"mtls": {"mode": "STRICT"}})))],
            all(in_namespace - 9, in_namespace / 10 + 1, 0),
            (in_namespace - 9, 0, 0),
        ),
        ("a zone of a node, of which one pod went", vec![put(node)], all(PODS / 100 - 1, 0, 0), (99, 0, 0)),
        (
            "a service without a selector",
            vec![put(selecting("v1", "Service", 0, "bare", json!({"ports": [{"port": 80}]})))],
            all(0, 0, 0),
            (0, 1, 0),
        ),
        ("an endpoint of it", vec![put(slice("192.168.0.1"))], all(1, 0, 1), (1, 0, 0)),
        ("another one", vec![put(slice("10.0.0.9"))], all(2, 0, 1), (2, 0, 0)),
        ("that pod's readiness", vec![put(replica(9, "False"))], all(1, 0, 0), (1, 0, 0)),
        ("a waypoint for a service", vec![put(waypointed(0))], all(0, 1, 0), (0, 1, 0)),
        ("its Gateway", vec![put(gateway(&json!({})))], all(0, 0, 0), (0, 1, 0)),
        ("the Gateway's status", vec![put(gateway(&json!({"status": {}})))], all(0, 0, 0), (0, 0, 0)),
        (
            "rules of requests for the service: its ten pods list a policy",
            vec![put(attached())],
            all(10, 0, 0),
            (10, 0, 1),
        ),
        ("the Gateway goes", vec![remove(Kind::Gateway, "ns-0", "wp")], all(0, 0, 0), (0, 1, 0)),
        (
            "a waypoint for a namespace, where one service has its own",
            vec![put(behind(0))],
            all(in_namespace + 1, 0, 0),
            (0, in_namespace / 10, 0),
        ),
        ("its Gateway, for services", vec![put(gateway(&json!({})))], all(0, 0, 0), (0, in_namespace / 10 + 1, 0)),
        (
            "now for workloads",
            vec![put(gateway(&json!({"metadata": {"labels": {"istio.io/waypoint-for": "workload"}}})))],
            all(in_namespace + 1, 0, 0),
            (in_namespace + 1, in_namespace / 10 + 1, 1),
        ),
        (
            "a report",
            vec![Input::Enrolled { uid: WorkloadUid::pod("Kubernetes", "ns-9", &name(9)), enrolled: true }],
            all(1, 0, 0),
            (0, 0, 0),
        ),
    ];
    for (what, inputs, cost, changed) in cases {
        let delta = store.apply(inputs);
        assert_eq!(delta.cost, cost, "{what}");
        assert_eq!((delta.workloads.len(), delta.services.len(), delta.authorizations.len()), changed, "{what}");
    }
}
