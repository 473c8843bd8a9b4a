use ambit_model::Scope;

use super::*;
use crate::fixtures::{governed, pod, policy, service, service_key, serving};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn objects_are_found_by_key_and_address() {
    let host = Workload { host_network: true, ..pod("host", "n1", "192.168.0.1") };
    let web = serving(pod("web", "n1", "10.0.0.1 fd00::1"), "web");
    let snapshot = Snapshot::build(vec![web, host], vec![service("web", "10.96.0.1 ::ffff:10.96.0.2")], vec![]);

    let name_at = |text| snapshot.workload_by_ip(ip(text)).map(|workload| workload.name().to_owned());
    for (address, expected) in [
        ("10.0.0.1", Some("web")),
        ("fd00::1", Some("web")),
        ("::ffff:10.0.0.1", Some("web")),
        ("192.168.0.1", None),
        ("10.96.0.1", None),
    ] {
        assert_eq!(name_at(address).as_deref(), expected, "{address}");
    }
    for (address, expected) in [("10.96.0.1", true), ("10.96.0.2", true), ("10.96.0.3", false)] {
        assert_eq!(snapshot.service_by_vip(ip(address)).is_some(), expected, "{address}");
    }
    assert!(snapshot.workload(&WorkloadUid::pod("Kubernetes", "shop", "host")).is_some());
    assert!(snapshot.workload(&WorkloadUid::pod("Kubernetes", "shop", "none")).is_none());
    assert_eq!(snapshot.endpoints(&service_key("web")).len(), 1);
    assert!(snapshot.service(&service_key("none")).is_none() && snapshot.endpoints(&service_key("none")).is_empty());
}

#[test]
fn a_contested_address_goes_to_the_first_by_uid() {
    let claims = || vec![pod("b", "n1", "10.0.0.1"), pod("c", "n1", "10.0.0.1"), pod("a", "n1", "10.0.0.1")];
    for absent in 0..3 {
        let mut pods = claims();
        let gone = pods[absent].uid.clone();
        let all = Snapshot::build(claims(), vec![], vec![]);
        let (rest, _) = all.apply([crate::Update::RemoveWorkload(gone)]);
        pods.remove(absent);
        let expected = pods.iter().map(|pod| pod.uid.clone()).min();
        assert_eq!(all.workload_by_ip(ip("10.0.0.1")).unwrap().name(), "a");
        assert_eq!(rest.workload_by_ip(ip("10.0.0.1")).map(|workload| workload.uid.clone()), expected);
    }
}

#[test]
fn an_enrolled_claimant_goes_before_a_plain_one() {
    let stale = Workload { tunnel_protocol: TunnelProtocol::None, ..pod("a", "n1", "10.0.0.1") };
    let snapshot = Snapshot::build(vec![stale, pod("b", "n1", "10.0.0.1")], vec![], vec![]);
    assert_eq!(snapshot.workload_by_ip(ip("10.0.0.1")).map(|workload| workload.name()), Some("b"));
}

#[test]
fn the_policies_of_a_workload() {
    let policies = vec![
        policy("shop/listed", Scope::WorkloadSelector),
        policy("shop/not-listed", Scope::WorkloadSelector),
        policy("other/listed", Scope::WorkloadSelector),
        policy("shop/b", Scope::Namespace),
        policy("shop/a", Scope::Namespace),
        policy("shopping/a", Scope::Namespace),
        policy("istio-system/z", Scope::Global),
        policy("istio-system/y", Scope::Global),
    ];
    let listing = ["shop/listed", "other/listed", "shop/deleted", "shop/a", "istio-system/y"];
    let cases = [
        (vec![], vec!["istio-system/y", "istio-system/z", "shop/a", "shop/b"]),
        (listing.to_vec(), vec!["istio-system/y", "istio-system/z", "shop/a", "shop/b", "shop/listed", "other/listed"]),
        (
            vec!["shop/ambit_peer_authentication_gone", "shop/listed", "istio-system/ambit_strict"],
            vec![
                "istio-system/y",
                "istio-system/z",
                "shop/a",
                "shop/b",
                "/ambit_unknown",
                "shop/listed",
                "/ambit_unknown",
            ],
        ),
    ];
    let snapshot = Snapshot::build(vec![], vec![], policies);
    for (listed, expected) in cases {
        let workload = governed(pod("web", "n1", "10.0.0.1"), &listed);
        let names: Vec<_> = snapshot.policies_for(&workload).map(|policy| policy.key.to_string()).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn mesh_destinations_are_vips_and_enrolled_pods() {
    let plain = Workload { tunnel_protocol: TunnelProtocol::None, ..pod("plain", "n1", "10.0.0.2") };
    let host = Workload { host_network: true, ..pod("host", "n1", "192.168.0.1") };
    let snapshot = Snapshot::build(
        vec![pod("web", "n1", "10.0.0.1 fd00::1"), plain, host],
        vec![service("web", "10.96.0.1"), service("headless", "")],
        vec![],
    );
    let mut found: Vec<_> = snapshot.mesh_destinations().collect();
    found.sort();
    assert_eq!(found, [ip("10.0.0.1"), ip("10.96.0.1"), ip("fd00::1")]);
    for (address, expected) in [("10.0.0.1", true), ("10.96.0.1", true), ("10.0.0.2", false), ("192.168.0.1", false)] {
        assert_eq!(snapshot.is_mesh_destination(ip(address)), expected, "{address}");
    }
}

#[test]
fn the_dump_names_everything_once() {
    let workloads = vec![pod("b", "n1", "10.0.0.2"), serving(pod("a", "n1", "10.0.0.1"), "web")];
    let policies = vec![policy("shop/a", Scope::Namespace)];
    let dump = Snapshot::build(workloads, vec![service("web", "10.96.0.1")], policies).dump();
    let text = |pointer: &str| dump.pointer(pointer).map(ToString::to_string).unwrap_or_default();
    assert_eq!(text("/workloads/0/name"), "\"a\"");
    assert_eq!(text("/workloads/0/services/shop~1web.shop.svc.cluster.local"), r#"[{"port":80,"targetPort":8080}]"#);
    assert_eq!(text("/workloads/1/identity"), "\"spiffe://cluster.local/ns/shop/sa/b\"");
    assert_eq!(text("/services/0/endpoints"), r#"["Kubernetes//Pod/shop/a"]"#);
    assert_eq!(text("/policies/0/scope"), "\"Namespace\"");
}
