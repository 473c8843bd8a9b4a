use ambit_model::{SameNode, WorkloadKind};

use super::*;
use crate::{Compiled, Store};

/// The pod shop/web with these metadata, spec and status, in a namespace with these metadata; and
/// what was said.
fn compile(namespace: &str, metadata: &str, spec: &str, status: &str) -> (Compiled, Vec<String>) {
    let status = if status.is_empty() { "podIP: 10.0.0.1" } else { status };
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, {namespace}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop, {metadata}}}\nspec: {{nodeName: n1, {spec}}}\nstatus: {{{status}}}\n"
    );
    let mut store = Store::default();
    let said = store.replace_file("f", &text);
    let said = said.iter().map(|i| format!("{} {}: {}", i.severity.word(), i.field, i.problem)).collect();
    (store.compile(), said)
}

const AMBIENT: &str = "labels: {istio.io/dataplane-mode: ambient}";
const NONE: &str = "labels: {istio.io/dataplane-mode: none}";

#[test]
fn enrolment_follows_the_labels() {
    for (namespace, pod, spec, expected, said) in [
        ("", "", "", false, 0),
        (AMBIENT, "", "", true, 0),
        (AMBIENT, NONE, "", false, 0),
        (NONE, AMBIENT, "", true, 0),
        ("", AMBIENT, "", true, 0),
        ("", "labels: {istio.io/dataplane-mode: ambinet}", "", false, 1),
        (AMBIENT, "labels: {istio.io/dataplane-mode: ambinet}", "", true, 1),
        (AMBIENT, "", "hostNetwork: true", false, 0),
        ("", AMBIENT, "hostNetwork: true", false, 1),
        (AMBIENT, "annotations: {sidecar.istio.io/status: x}", "", false, 0),
    ] {
        let (compiled, issues) = compile(namespace, pod, spec, "");
        assert_eq!(
            compiled.workloads[0].tunnel_protocol == TunnelProtocol::Hbone,
            expected,
            "{namespace} {pod} {spec}"
        );
        assert_eq!(
            compiled.enrolled().filter(|workload| &*workload.node == "n1").count(),
            usize::from(expected),
            "{namespace} {pod} {spec}"
        );
        assert_eq!(issues.len(), said, "{issues:?}");
    }
}

#[test]
fn a_pod_without_a_namespace_object_can_be_enrolled_by_itself() {
    let mut store = Store::default();
    store.replace_file(
        "f",
        &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: x, {AMBIENT}}}\nstatus: {{podIP: 1.2.3.4}}\n"),
    );
    let compiled = store.compile();
    assert_eq!(compiled.workloads[0].tunnel_protocol, TunnelProtocol::Hbone);
    assert_eq!(compiled.enrolled().count(), 0, "it runs on no known node");
}

#[test]
fn annotations_name_the_network_namespace_and_the_way_of_same_node_traffic() {
    let annotation = |key: &str, value: &str| format!("annotations: {{ambit.io/{key}: {value}}}");
    for (namespace, pod, expected, said) in [
        ("", String::new(), None, 0),
        ("direct", String::new(), Some(SameNode::Direct), 0),
        ("direct", annotation("same-node", "tunnel"), Some(SameNode::Tunnel), 0),
        ("tunnel", annotation("same-node", "direct"), Some(SameNode::Direct), 0),
        ("", annotation("same-node", "fast"), Some(SameNode::Tunnel), 1),
    ] {
        let namespace = if namespace.is_empty() { String::new() } else { annotation("same-node", namespace) };
        let (compiled, issues) = compile(&namespace, &pod, "", "");
        assert_eq!(compiled.workloads[0].same_node, expected, "{namespace} {pod}");
        assert_eq!(issues.len(), said, "{issues:?}");
    }
    let (compiled, _) = compile(AMBIENT, &annotation("netns", "/run/netns/x"), "", "");
    let (without, said) = compile(AMBIENT, &annotation("netns", "netns/x"), "", "");
    assert_eq!((without.workloads.len(), without.netns.len()), (1, 0));
    assert!(said[0].starts_with("warning metadata.annotations.ambit.io/netns: \"netns/x\""), "{said:?}");
    assert_eq!(compiled.netns.values().map(|path| &**path).collect::<Vec<_>>(), [Path::new("/run/netns/x")]);
}

#[test]
fn only_pods_with_addresses_that_still_run_are_workloads() {
    for (status, expected) in [
        ("podIP: 10.0.0.1", Some((vec!["10.0.0.1"], true))),
        ("podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]", Some((vec!["10.0.0.1", "fd00::1"], true))),
        ("podIPs: [{ip: '::ffff:10.0.0.1'}]", Some((vec!["10.0.0.1"], true))),
        ("podIP: 10.0.0.1, phase: Running", Some((vec!["10.0.0.1"], true))),
        ("podIP: 10.0.0.1, phase: Succeeded", None),
        ("podIP: 10.0.0.1, phase: Failed", None),
        ("phase: Pending", None),
        ("podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]", Some((vec!["10.0.0.1"], false))),
        (
            "podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}, {type: X, status: 'False'}]",
            Some((vec!["10.0.0.1"], true)),
        ),
    ] {
        let (compiled, _) = compile("", "", "", status);
        let found = compiled.workloads.first();
        let found = found.map(|w| (w.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), w.healthy));
        assert_eq!(
            found,
            expected.map(|(ips, healthy)| (ips.into_iter().map(str::to_owned).collect(), healthy)),
            "{status}"
        );
    }
    let (compiled, _) = compile("", "deletionTimestamp: '2026-01-01T00:00:00Z'", "", "");
    assert!(!compiled.workloads[0].healthy, "a pod on its way out takes no new traffic");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (metadata, spec, status, expected) in [
        ("", "", "podIP: 10.0.0", "error status.podIP: \"10.0.0\""),
        ("", "", "podIPs: [{ip: 10.0.0.1}, {}]", "error status.podIPs[1]: \"\""),
        ("", "serviceAccountName: a/b", "", "error spec.serviceAccountName"),
        (
            "",
            "containers: [{name: x, ports: [{containerPort: 99999}]}]",
            "",
            "error spec.containers[0].ports[0].containerPort",
        ),
    ] {
        let (compiled, said) = compile("", metadata, spec, status);
        assert!(said.iter().any(|s| s.starts_with(expected)), "{said:?}");
        assert_eq!(compiled.workloads, []);
    }
}

#[test]
fn names_for_dashboards() {
    let owned = |kind: &str, name: &str, labels: &str| {
        format!("labels: {{{labels}}}, ownerReferences: [{{kind: {kind}, name: {name}, controller: true}}]")
    };
    use WorkloadKind::{CronJob, Deployment, Job, Pod};
    for (metadata, kind, name, canonical) in [
        (String::new(), Pod, "web", "web latest"),
        (owned("ReplicaSet", "shop-5d8f", "pod-template-hash: 5d8f"), Deployment, "shop", "shop latest"),
        (owned("ReplicaSet", "shop-5d8f", "pod-template-hash: other"), Pod, "web", "web latest"),
        (owned("ReplicaSet", "shop", ""), Pod, "web", "web latest"),
        (owned("Job", "import", ""), Job, "import", "import latest"),
        (owned("Job", "import-28501234", ""), CronJob, "import", "import latest"),
        (owned("Job", "import-1234", ""), Job, "import-1234", "import-1234 latest"),
        (owned("StatefulSet", "db", ""), Pod, "web", "web latest"),
        (owned("StatefulSet", "db", "app: a, version: v1"), Pod, "web", "a v1"),
        (
            owned("Job", "j", "app: a, app.kubernetes.io/name: b, app.kubernetes.io/version: v2, version: v1"),
            Job,
            "j",
            "b v2",
        ),
        (
            owned(
                "Job",
                "j",
                "app.kubernetes.io/name: b, service.istio.io/canonical-name: c, service.istio.io/canonical-revision: r",
            ),
            Job,
            "j",
            "c r",
        ),
        ("ownerReferences: [{kind: Job, name: j}]".to_owned(), Pod, "web", "web latest"),
    ] {
        let (compiled, said) = compile("", &metadata, "", "");
        let workload = &compiled.workloads[0];
        assert_eq!(said, [] as [String; 0]);
        assert_eq!((workload.kind, workload.workload_name()), (kind, name), "{metadata}");
        assert_eq!(format!("{} {}", workload.canonical_name, workload.canonical_revision), canonical, "{metadata}");
    }
}

#[test]
fn the_identity_is_that_of_the_service_account() {
    for (spec, expected) in [("", "default"), ("serviceAccountName: cart", "cart")] {
        let (compiled, _) = compile("", "", spec, "");
        let workload = &compiled.workloads[0];
        assert_eq!(workload.identity.to_string(), format!("spiffe://cluster.local/ns/shop/sa/{expected}"));
        assert_eq!(workload.uid.as_str(), "Kubernetes//Pod/shop/web");
    }
}
