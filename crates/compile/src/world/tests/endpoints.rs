//! Endpoints that no label selects.

use ambit_model::Service;

use super::*;

fn services(workload: &Workload) -> String {
    let shown = workload.services.iter().map(|(key, ports)| {
        let ports: Vec<_> = ports.iter().map(|port| format!("{}>{}", port.service_port, port.target_port)).collect();
        format!("{} {}", key.hostname, ports.join(" "))
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn bare(selector: Value) -> Value {
    let ports = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 90}]);
    object("v1", "Service", "db", &json!({"spec": {"selector": selector, "ports": ports}}))
}

fn slice(endpoints: Value) -> Value {
    let rest = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        "endpoints": endpoints,
    });
    object("discovery.k8s.io/v1", "EndpointSlice", "db-1", &rest)
}

#[test]
fn slices_are_the_endpoints_of_services_that_select_none() {
    let host = "db.shop.svc.cluster.local 80>8080";
    let outside = |address: &str| json!([{"addresses": [address], "conditions": {"ready": false}}]);
    let web = || put(pod("web", "10.0.0.1", json!({})));
    let steps: Vec<(Vec<Input>, Vec<String>)> = vec![
        (vec![put(slice(outside("192.168.0.1")))], vec![]),
        (vec![put(bare(json!({})))], vec![format!("db-1 {host}")]),
        (vec![put(slice(outside("10.0.0.1")))], vec![format!("db-1 {host}"), "db-1 gone".into()]),
        (vec![web()], vec!["db-1 gone".into(), format!("web {host}")]),
        (vec![put(bare(json!({"app": "x"})))], vec!["web ".into()]),
        (vec![put(bare(json!({})))], vec![format!("web {host}")]),
        (vec![remove(Kind::Pod, "shop", "web")], vec!["web gone".into(), format!("db-1 {host}")]),
        (vec![remove(Kind::EndpointSlice, "shop", "db-1")], vec!["db-1 gone".into()]),
    ];
    let mut store = Store::default();
    for (at, (inputs, expected)) in steps.into_iter().enumerate() {
        let mut found = workloads(&store.apply(inputs), services);
        found.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!(found, expected, "step {at}");
    }
}

#[test]
fn an_endpoint_outside_is_named_as_the_field_names_it_and_proves_nobody() {
    let mut store = Store::default();
    let endpoint = json!([{"addresses": ["192.168.0.1"], "nodeName": "n2", "conditions": {"ready": false}}]);
    let delta = store.apply([put(bare(json!({}))), put(slice(endpoint))]);
    let (uid, Some(workload)) = &delta.workloads[0] else { panic!("{delta:?}") };
    assert_eq!(uid.as_str(), "Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-1/192.168.0.1");
    assert_eq!((workload.healthy, workload.host_network, &*workload.node), (false, true, "n2"));
    assert_eq!(delta.pods, []);
}

#[test]
fn a_slice_may_name_a_pod_of_the_hosts_network() {
    let host = pod("host", "192.168.0.1", json!({"spec": {"hostNetwork": true}}));
    let target =
        json!([{"addresses": ["192.168.0.1"], "targetRef": {"kind": "Pod", "name": "host", "namespace": "shop"}}]);
    let mut store = Store::default();
    let delta = store.apply([put(host), put(bare(json!({}))), put(slice(target))]);
    assert_eq!(workloads(&delta, services), ["host db.shop.svc.cluster.local 80>8080"]);
}

fn entry(name: &str, spec: Value) -> Value {
    let mut entry = object(
        "networking.istio.io/v1",
        "ServiceEntry",
        name,
        &json!({"spec": {
            "hosts": ["x.org"], "addresses": ["240.0.0.1"], "resolution": "STATIC",
            "ports": [{"number": 443, "name": "tls", "protocol": "TLS", "targetPort": 8443}],
        }}),
    );
    merge(&mut entry, &json!({ "spec": spec }));
    entry
}

fn machine(name: &str, spec: Value) -> Value {
    object("networking.istio.io/v1", "WorkloadEntry", name, &json!({ "spec": spec }))
}

#[test]
fn service_entries_have_the_endpoints_they_name_or_select() {
    let named = json!({"endpoints": [{"address": "1.2.3.4"}, {"address": "1.2.3.5", "ports": {"tls": 9443}}, {"address": "10.0.0.1"}]});
    let selecting = json!({"workloadSelector": {"labels": {"app": "vm"}}});
    let labelled = json!({"metadata": {"labels": {"app": "vm"}}});
    for (spec, expected) in [
        (named, &["web x.org 443>8443", "x x.org 443>8443", "x x.org 443>9443", "m ", "m2 "][..]),
        (selecting, &["web x.org 443>8443", "m x.org 443>9443", "m2 x.org 443>8443"]),
        (json!({}), &["web ", "m ", "m2 "]),
        (json!({"resolution": "NONE"}), &["web ", "m ", "m2 "]),
    ] {
        let mut store = Store::default();
        let mut m2 = machine("m2", json!({"address": "10.1.0.2"}));
        merge(&mut m2, &labelled);
        let delta = store.apply([
            put(pod("web", "10.0.0.1", labelled.clone())),
            put(machine("m", json!({"address": "10.1.0.1", "labels": {"app": "vm"}, "ports": {"tls": 9443}}))),
            put(m2),
            put(entry("x", spec.clone())),
        ]);
        let mut found = workloads(&delta, services);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{spec}");
        assert_eq!(delta.services.len(), 1);
        assert_eq!(delta.services[0].0.to_string(), "shop/x.org");
        assert_eq!(delta.issues, []);
    }
}

#[test]
fn what_is_looked_up_is_an_endpoint_by_its_name() {
    let many = json!({"hosts": ["x.org", "y.org"], "endpoints": [
        {"address": "A.example", "weight": 3, "locality": "r/z", "ports": {"tls": 9443}},
        {"address": "1.2.3.4"}, {"address": "unix:///x"},
    ]});
    for (resolution, spec, expected) in [
        ("DNS", json!({}), vec!["x.org / 1 x.org 443>8443"]),
        ("DNS_ROUND_ROBIN", json!({}), vec!["x.org / 1 x.org 443>8443"]),
        ("DNS", json!({"hosts": ["x.org", "y.org"]}), vec!["x.org / 1 x.org 443>8443", "y.org / 1 y.org 443>8443"]),
        ("DNS", json!({"workloadSelector": {"labels": {"app": "vm"}}}), vec![]),
        (
            "DNS",
            many,
            vec!["- 1.2.3.4/ 1 x.org 443>8443, y.org 443>8443", "a.example /z 3 x.org 443>9443, y.org 443>9443"],
        ),
        ("NONE", json!({}), vec![]),
        ("DYNAMIC_DNS", json!({}), vec![]),
    ] {
        let mut spec = spec;
        merge(&mut spec, &json!({ "resolution": resolution }));
        let delta = Store::default().apply([put(entry("x", spec.clone()))]);
        let mut found = workloads(&delta, |workload| {
            let name = workload.hostname.as_deref().unwrap_or("-");
            let address = workload.addresses.first().map(ToString::to_string).unwrap_or_default();
            let zone = workload.locality.as_ref().map(|it| it.zone.to_string()).unwrap_or_default();
            assert!(workload.host_network && workload.tunnel_protocol == TunnelProtocol::None);
            format!("{name} {address}/{zone} {} {}", workload.weight, services(workload))
        });
        found.sort();
        let expected: Vec<_> = expected.iter().map(|shown| format!("x {shown}")).collect();
        assert_eq!(found, expected, "{resolution} {spec}");
        let has_endpoints = resolution.starts_with("DNS");
        let mode = delta.services[0].1.as_ref().unwrap().load_balancing;
        assert_eq!(mode != ambit_model::LoadBalancingMode::Passthrough, has_endpoints, "{resolution}");
    }
}

#[test]
fn a_service_is_as_near_as_it_says_or_else_its_namespace() {
    let said = |value: &str| json!({"metadata": {"annotations": {"networking.istio.io/traffic-distribution": value}}});
    let service = |value: Option<&str>| {
        let mut service = bare(json!({}));
        merge(&mut service, &value.map(said).unwrap_or(json!({})));
        put(service)
    };
    let entry = |rest: Value| {
        let mut entry = entry("x", json!({}));
        merge(&mut entry, &rest);
        put(entry)
    };
    let space = |value: &str| {
        let mut space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        merge(&mut space, &said(value));
        put(space)
    };
    let mut store = Store::default();
    for (input, expected) in [
        (service(None), "db Unspecified"),
        (entry(json!({})), "x Unspecified"),
        (space("PreferClose"), "db PreferZone, x PreferZone"),
        (service(Some("Any")), "db Unspecified"),
        (service(Some("prefersamenode")), "db PreferNode"),
        (entry(said("PreferSameNode")), "x PreferNode"),
        (space("PreferSameNode"), ""),
        (entry(json!({})), ""),
        (entry(json!({"spec": {"resolution": "NONE"}})), "x Passthrough"),
        (remove(Kind::Namespace, "", "shop"), ""),
        (service(None), "db Unspecified"),
    ] {
        let delta = store.apply([input]);
        let mut found: Vec<_> = delta.services.iter().filter_map(|(_, service)| service.as_ref()).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let found: Vec<_> =
            found.iter().map(|service| format!("{} {:?}", service.name, service.load_balancing)).collect();
        assert_eq!(found.join(", "), expected);
    }
}

#[test]
fn a_service_is_seen_by_whom_it_says_or_else_the_mesh() {
    let mesh = |list: Value| {
        let metadata = json!({"metadata": {"namespace": "istio-system"}, "spec": {"defaultServiceExportTo": list}});
        put(object("ambit.io/v1alpha1", "MeshConfig", "default", &metadata))
    };
    let annotated = json!({"metadata": {"annotations": {"networking.istio.io/exportTo": "*"}}});
    let mut said = bare(json!({}));
    merge(&mut said, &annotated);
    let mut store = Store::default();
    for (input, expected) in [
        (put(bare(json!({}))), "db: all"),
        (put(entry("x", json!({}))), "x: all"),
        (mesh(json!(["."])), "db: shop, x: shop"),
        (put(said), "db: all"),
        (put(entry("x", json!({"exportTo": ["bank"]}))), "x: bank"),
        (mesh(json!(["till", "~"])), ""),
        (put(bare(json!({}))), "db: till"),
        (put(entry("x", json!({}))), "x: till"),
        (remove(Kind::MeshConfig, "istio-system", "default"), "db: all, x: all"),
    ] {
        let delta = store.apply([input]);
        let mut found: Vec<_> = delta.services.iter().filter_map(|(_, service)| service.as_ref()).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let list = |service: &Service| service.exported_to.as_ref().map_or("all".to_owned(), |list| list.join(" "));
        let found: Vec<_> = found.iter().map(|service| format!("{}: {}", service.name, list(service))).collect();
        assert_eq!(found.join(", "), expected);
    }
}

#[test]
fn nobody_puts_services_on_workloads_of_other_namespaces() {
    let elsewhere = |kind: &str| json!({"metadata": {"namespace": kind}});
    let target = |namespace: &str| json!({"kind": "Pod", "name": "web", "namespace": namespace});
    let mut web = pod("web", "10.0.0.1", json!({}));
    for (namespace, entry_gives, slice_gives) in [
        ("shop", vec!["web db.shop.svc.cluster.local 80>8080, x.org 443>8443"], vec![]),
        ("bank", vec!["web "], vec!["db-1 db.shop.svc.cluster.local 80>8080", "x x.org 443>8443"]),
    ] {
        merge(&mut web, &elsewhere(namespace));
        for target in [Value::Null, target(namespace)] {
            let delta = Store::default().apply([
                put(web.clone()),
                put(bare(json!({}))),
                put(slice(json!([{"addresses": ["10.0.0.1"], "targetRef": target}]))),
                put(entry("x", json!({"endpoints": [{"address": "10.0.0.1"}]}))),
            ]);
            let mut found = workloads(&delta, services);
            found.sort();
            let mut expected = [entry_gives.clone(), slice_gives.clone()].concat();
            expected.sort_unstable();
            assert_eq!(found, expected, "{namespace} {target}");
            let addresses = delta.workloads.iter().map(|(_, it)| it.as_ref().unwrap().addresses.len());
            assert!(addresses.min() == Some(1), "nobody lost the address");
        }
    }
}

#[test]
fn a_workload_entry_is_a_workload_and_its_label_says_whether_it_takes_tunnels() {
    let vm = |labels: Value| {
        machine("vm", json!({"address": "10.1.0.1", "labels": labels, "serviceAccount": "db", "locality": "r/z/s"}))
    };
    let mut store = reporting();
    store.apply([put(namespace("ambient"))]);
    for (labels, expected) in
        [(json!({}), TunnelProtocol::None), (json!({"networking.istio.io/tunnel": "http"}), TunnelProtocol::Hbone)]
    {
        let delta = store.apply([put(vm(labels))]);
        let (uid, Some(workload)) = &delta.workloads[0] else { panic!("{delta:?}") };
        assert_eq!(uid.as_str(), "Kubernetes/networking.istio.io/WorkloadEntry/shop/vm");
        assert_eq!(workload.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/db");
        assert_eq!(workload.locality.as_ref().map(|it| &*it.zone), Some("z"));
        assert_eq!(workload.tunnel_protocol, expected);
        assert_eq!(delta.pods, []);
    }
}

#[test]
fn what_is_not_supported_is_said() {
    for (object, expected) in [
        (
            entry("x", json!({"addresses": ["10.0.0.0/8"]})),
            "warning: ServiceEntry shop/x: spec.addresses[0]: an address block is not supported",
        ),
        (entry("x", json!({"addresses": ["x"]})), "error: ServiceEntry shop/x: spec.addresses[0]"),
        (entry("x", json!({"addresses": []})), "info: ServiceEntry shop/x: spec.addresses: no addresses"),
        (
            entry("x", json!({"exportTo": [".", "A"]})),
            "warning: ServiceEntry shop/x: spec.exportTo[1]: \"A\" means nothing here",
        ),
        (
            entry("x", json!({"endpoints": [{"address": "x.org"}]})),
            "warning: ServiceEntry shop/x: spec.endpoints[0].address: an address that is no IP address is not supported",
        ),
        (
            entry("x", json!({"hosts": ["x.org", "a/b"]})),
            "error: ServiceEntry shop/x: spec.hosts[1]: \"a/b\" is not a DNS name, nor one with *. before it",
        ),
        (entry("x", json!({"hosts": ["*"]})), "error: ServiceEntry shop/x: spec.hosts[0]"),
        (entry("x", json!({"hosts": ["a.*.org"]})), "error: ServiceEntry shop/x: spec.hosts[0]"),
        (entry("x", json!({"hosts": ["a".repeat(254)]})), "error: ServiceEntry shop/x: spec.hosts[0]"),
        (entry("x", json!({"hosts": ["*.X.org"], "addresses": []})), "info: ServiceEntry shop/x: spec.addresses"),
        (entry("x", json!({"hosts": []})), "error: ServiceEntry shop/x: spec.hosts"),
        (
            entry("x", json!({"resolution": "NONE", "endpoints": [{"address": "1.2.3.4"}]})),
            "error: ServiceEntry shop/x: spec.resolution: cannot be combined with endpoints",
        ),
        (machine("m", json!({"address": "unix:///x"})), "warning: WorkloadEntry shop/m: spec.address"),
        (
            machine("m", json!({"address": "1.2.3.4", "serviceAccount": "a/b"})),
            "error: WorkloadEntry shop/m: spec.serviceAccount",
        ),
    ] {
        says(&object, expected);
    }
}

#[test]
fn what_cannot_be_looked_up_or_is_nobody_elses_is_said() {
    for (object, expected) in [
        (
            entry("x", json!({"resolution": "DYNAMIC_DNS"})),
            "warning: ServiceEntry shop/x: spec.resolution: to look up whatever name a client asks for is not supported",
        ),
        (
            entry("x", json!({"resolution": "DNS", "addresses": []})),
            "warning: ServiceEntry shop/x: spec.addresses: no addresses: nothing leads clients here",
        ),
        (
            entry("x", json!({"resolution": "DNS", "hosts": ["*.x.org"]})),
            "error: ServiceEntry shop/x: spec.hosts[0]: \"*.x.org\" cannot be looked up",
        ),
        (
            entry("x", json!({"resolution": "DNS", "endpoints": [{"address": "unix:///x"}]})),
            "warning: ServiceEntry shop/x: spec.endpoints[0].address: an address that is no IP address",
        ),
        (
            entry("x", json!({"resolution": "DNS", "endpoints": [{"address": "*.x.org"}]})),
            "warning: ServiceEntry shop/x: spec.endpoints[0].address: an address that is no IP address",
        ),
        (
            entry("x", json!({"resolution": "DNS", "endpoints": [{"address": "db"}]})),
            "error: ServiceEntry shop/x: spec.endpoints[0].address: \"db\" is one word",
        ),
        (
            entry("x", json!({"resolution": "DNS_ROUND_ROBIN", "hosts": ["x.org", "db"]})),
            "error: ServiceEntry shop/x: spec.hosts[1]: \"db\" is one word",
        ),
        (
            entry("x", json!({"addresses": ["127.0.0.1"]})),
            "error: ServiceEntry shop/x: spec.addresses[0]: 127.0.0.1 is nobody else's",
        ),
        (
            entry("x", json!({"endpoints": [{"address": "::1"}]})),
            "error: ServiceEntry shop/x: spec.endpoints[0].address: ::1 is nobody else's",
        ),
        (machine("m", json!({"address": "0.0.0.0"})), "error: WorkloadEntry shop/m: spec.address: 0.0.0.0 is nobody"),
    ] {
        says(&object, expected);
    }
}

/// Something is said about an object that has this in it.
fn says(object: &Value, expected: &str) {
    let delta = Store::default().apply([put(object.clone())]);
    let said: Vec<_> = delta.issues.iter().flat_map(|(_, issues)| issues).map(ToString::to_string).collect();
    assert!(said.iter().any(|issue| issue.contains(expected)), "{object}: {said:?}");
}

#[test]
fn a_service_is_exported_to_the_namespaces_it_lists() {
    for (list, expected) in [
        (&[][..], None),
        (&["*"], None),
        (&["a", "*"], None),
        (&["."], Some("shop")),
        (&["~"], Some("")),
        (&["till", ".", "a", "till"], Some("a shop till")),
    ] {
        let annotations = json!({"networking.istio.io/exportTo": list.join(", ")});
        let service = object("v1", "Service", "x", &json!({"metadata": {"annotations": annotations}}));
        for object in [entry("x", json!({"exportTo": list})), service] {
            let delta = Store::default().apply([put(object.clone())]);
            let (_, Some(service)) = &delta.services[0] else { panic!("{delta:?}") };
            let exported_to = service.exported_to.as_ref().map(|list| list.join(" "));
            assert_eq!(exported_to.as_deref(), expected, "{object}");
        }
    }
}

#[test]
fn a_host_is_the_host_of_one_object() {
    let mut store = Store::default();
    store.apply([put(entry("b", json!({"endpoints": [{"address": "1.2.3.4"}]})))]);
    let delta = store.apply([put(entry("a", json!({"addresses": ["240.0.0.2"]})))]);
    assert_eq!(delta.services.len(), 1);
    assert_eq!(workloads(&delta, services), ["b "], "its host is another's now");
    assert_eq!(
        delta.issues[0].1[0].to_string(),
        "Kubernetes: error: ServiceEntry shop/b: spec.hosts: x.org is already a host of ServiceEntry shop/a: left out here"
    );
    let delta = store.apply([remove(Kind::ServiceEntry, "shop", "a")]);
    assert_eq!(workloads(&delta, services), ["b x.org 443>8443"]);
    assert_eq!(
        delta.issues,
        [(ObjectId { kind: Kind::ServiceEntry, namespace: "shop".into(), name: "b".into() }, vec![])]
    );
}

fn node(address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": "n1"}]},
    })
}

#[test]
fn a_service_entry_only_asks_for_addresses_that_others_were_given() {
    let kubernetes = |address: &str| object("v1", "Service", "api", &json!({"spec": {"clusterIP": address}}));
    let asking = |addresses: Value| put(entry("x", json!({"hosts": ["x.org", "y.org"], "addresses": addresses})));
    let mut store = Store::default();
    let (mut has, mut said) = (BTreeMap::new(), Vec::new());
    // What happens; then the addresses of both hosts, and who has the others.
    let steps: Vec<(Input, &str, &[&str])> = vec![
        (asking(json!(["10.9.0.1", "10.0.0.1", "240.0.0.1"])), "10.9.0.1 10.0.0.1 240.0.0.1", &[]),
        (put(kubernetes("10.9.0.1")), "10.0.0.1 240.0.0.1", &["Service shop/api"]),
        (put(pod("web", "10.0.0.1", json!({}))), "240.0.0.1", &["Service shop/api", "Pod shop/web"]),
        (put(node("240.0.0.1")), "", &["Service shop/api", "Pod shop/web", "Node n1"]),
        (put(kubernetes("10.9.0.2")), "10.9.0.1", &["Pod shop/web", "Node n1"]),
        (put(node("1.2.3.4")), "10.9.0.1 240.0.0.1", &["Pod shop/web"]),
        (asking(json!(["10.0.0.1", "10.9.0.2", "10.9.0.3"])), "10.9.0.3", &["Pod shop/web", "Service shop/api"]),
        (remove(Kind::Pod, "shop", "web"), "10.0.0.1 10.9.0.3", &["Service shop/api"]),
        (remove(Kind::Service, "shop", "api"), "10.0.0.1 10.9.0.2 10.9.0.3", &[]),
        (put(machine("m", json!({"address": "10.0.0.1"}))), "10.0.0.1 10.9.0.2 10.9.0.3", &[]),
    ];
    for (at, (input, expected, holders)) in steps.into_iter().enumerate() {
        let delta = store.apply([input]);
        for (key, service) in delta.services.into_iter().filter(|(key, _)| key.hostname.ends_with(".org")) {
            let addresses: Vec<_> = service.unwrap().addresses.iter().map(ToString::to_string).collect();
            has.insert(key.hostname.to_string(), addresses.join(" "));
        }
        for (_, issues) in delta.issues.into_iter().filter(|(id, _)| id.kind == Kind::ServiceEntry) {
            said = issues.iter().map(ToString::to_string).collect();
        }
        assert_eq!(has.values().collect::<Vec<_>>(), [expected, expected], "step {at}");
        assert_eq!(said.len(), holders.len(), "step {at}: {said:?}");
        for (said, holder) in said.iter().zip(holders) {
            assert!(said.contains(&format!("is already the address of {holder}: left out here")), "step {at}: {said}");
        }
        for service in store.compile().services.iter().filter(|it| it.key.hostname.ends_with(".org")) {
            let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses.join(" "), expected, "step {at}");
        }
    }
}

#[test]
fn no_tunnel_of_a_workload_entry_ends_at_a_node() {
    let vm = |tunnel: &str| {
        put(machine("vm", json!({"address": "10.1.0.1", "labels": {"networking.istio.io/tunnel": tunnel}})))
    };
    let addresses = |workload: &Workload| workload.addresses.len().to_string();
    let mut store = Store::default();
    for (input, expected) in [
        (vm("http"), &["vm 1"][..]),
        (put(node("10.1.0.1")), &["vm 0"]),
        (vm("none"), &["vm 1"]),
        (vm("http"), &["vm 0"]),
        (put(node("10.1.0.2")), &["vm 1"]),
    ] {
        let delta = store.apply([input]);
        assert_eq!(workloads(&delta, addresses), expected);
        let lost = delta.issues.last().filter(|(_, issues)| !issues.is_empty());
        assert_eq!(lost.is_some(), expected == ["vm 0"], "{:?}", delta.issues);
    }
}
