use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ambit_model::PortMapping;
use ambit_model::{
    Action, Canary, Clause, GatewayDestination, HealthPolicy, Identity, LoadBalancingMode, Match, Rule, SameNode,
    Scope, ServiceAccountMatch, ServicePort, StringMatch, TunnelProtocol, WaypointFailure, WorkloadKind,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::encode;

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}"
}

fn text() -> impl Strategy<Value = Arc<str>> {
    "[a-z*/.:-]{0,12}".prop_map(Arc::from)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()),
    ]
}

fn hint() -> impl Strategy<Value = ambit_model::AppProtocol> {
    use ambit_model::AppProtocol::{Grpc, Http2, Http11, Tcp, Tls, Unknown};
    proptest::sample::select(vec![Unknown, Http11, Http2, Grpc, Tcp, Tls])
}

fn service_key() -> impl Strategy<Value = ServiceKey> {
    (word(), "[a-z.]{1,12}").prop_map(|(a, b)| ServiceKey { namespace: a.into(), hostname: b.into() })
}

fn policy() -> impl Strategy<Value = PolicyKey> {
    (word(), "[a-z_]{1,12}").prop_map(|(a, b)| PolicyKey { namespace: a.into(), name: b.into() })
}

fn mapping() -> impl Strategy<Value = PortMapping> {
    (1u16.., 1u16.., hint()).prop_map(|(service_port, target_port, app_protocol)| PortMapping {
        service_port,
        target_port,
        app_protocol,
    })
}

fn waypoint() -> impl Strategy<Value = (Option<Arc<GatewayAddress>>, WaypointFailure)> {
    let destination =
        prop_oneof![service_key().prop_map(GatewayDestination::Hostname), ip().prop_map(GatewayDestination::Address),];
    let address = (destination, 1u16..)
        .prop_map(|(destination, hbone_port)| Arc::new(GatewayAddress { destination, hbone_port }));
    let failure = proptest::sample::select(vec![WaypointFailure::Closed, WaypointFailure::Open]);
    (proptest::option::of(address), failure)
}

fn application() -> impl Strategy<Value = Application> {
    let kinds = [WorkloadKind::Deployment, WorkloadKind::CronJob, WorkloadKind::Pod, WorkloadKind::Job];
    (
        (
            word(),
            prop_oneof![Just("cluster.local".to_owned()), word()],
            prop_oneof![Just("default".to_owned()), word()],
        ),
        // No pod is named so: what is owned by one of its own name stands for itself.
        (text(), text(), "([A-Z]{1,8})?".prop_map(Arc::from), text(), 1u32.., word()),
        proptest::sample::select(kinds.to_vec()),
        btree_map(service_key(), vec(mapping(), 0..3), 0..3),
        vec(policy(), 0..3),
        waypoint(),
    )
        .prop_map(
            |((namespace, domain, account), texts, kind, services, mut policies, (waypoint, waypoint_failure))| {
                policies.sort();
                Application {
                    identity: Identity::new(domain, namespace.as_str(), account),
                    namespace: namespace.into(),
                    canonical_name: texts.0,
                    canonical_revision: texts.1,
                    kind,
                    workload_name: texts.2,
                    services: Arc::new(services.into_iter().collect()),
                    authorization_policies: policies.into(),
                    waypoint,
                    waypoint_failure,
                    labels: Arc::default(),
                    cluster: texts.3,
                    hostname: Some(texts.5.into()),
                    weight: texts.4,
                }
            },
        )
}

fn workload() -> impl Strategy<Value = Workload> {
    let same_node = proptest::sample::select(vec![None, Some(SameNode::Direct), Some(SameNode::Tunnel)]);
    let locality = (text(), text()).prop_map(|(region, zone)| Arc::new(Locality { region, zone }));
    (
        (word(), vec(ip(), 0..3), text(), proptest::option::of(locality), application()),
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), same_node),
    )
        .prop_map(
            |(
                (name, addresses, node, locality, application),
                (hbone, native_tunnel, healthy, host_network, same_node),
            )| {
                let hostname = application.hostname.filter(|_| addresses.is_empty());
                let application = Application { hostname, ..application };
                Workload {
                    uid: WorkloadUid::pod("Kubernetes", &application.namespace, &name),
                    addresses: addresses.into_iter().collect(),
                    node,
                    locality,
                    tunnel_protocol: if hbone { TunnelProtocol::Hbone } else { TunnelProtocol::None },
                    native_tunnel,
                    healthy,
                    host_network,
                    same_node,
                    application: Arc::new(application),
                }
            },
        )
}

fn service() -> impl Strategy<Value = Service> {
    use LoadBalancingMode::{Passthrough, PreferNode, PreferZone, StrictNode, Unspecified};
    let mode = proptest::sample::select(vec![Unspecified, StrictNode, PreferNode, PreferZone, Passthrough]);
    let health = proptest::sample::select(vec![HealthPolicy::OnlyHealthy, HealthPolicy::AllowAll]);
    let port = (1u16.., hint()).prop_map(|(port, app_protocol)| ServicePort { port, name: "".into(), app_protocol });
    let exported_to = option::of(vec(word().prop_map(Arc::from), 0..3).prop_map(Arc::from));
    let behind = (waypoint(), proptest::option::of((waypoint(), 0u8..=100)), exported_to);
    (service_key(), text(), vec(ip(), 0..3), vec(port, 0..3), vec(text(), 0..3), health, mode, behind).prop_map(
        |(
            key,
            name,
            addresses,
            ports,
            subject_alt_names,
            health_policy,
            load_balancing,
            ((waypoint, waypoint_failure), canary, exported_to),
        )| Service {
            canary: canary
                .filter(|_| waypoint.is_some())
                .and_then(|((canary, _), percent)| Some(Canary { waypoint: canary?, percent })),
            key,
            name,
            addresses,
            ports,
            subject_alt_names,
            health_policy,
            load_balancing,
            waypoint,
            waypoint_failure,
            exported_to,
        },
    )
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        text().prop_map(StringMatch::Exact),
        text().prop_map(StringMatch::Prefix),
        text().prop_map(StringMatch::Suffix),
        Just(StringMatch::Presence),
    ]
}

fn block() -> impl Strategy<Value = ipnet::IpNet> {
    (ip(), any::<u8>()).prop_map(|(ip, length)| {
        ipnet::IpNet::new(ip, length % if ip.is_ipv4() { 33 } else { 129 }).expect("the length is in range")
    })
}

fn conditions() -> impl Strategy<Value = Match> {
    let texts = || vec(string_match(), 0..3);
    let blocks = || vec(block(), 0..3);
    let ports = || vec(any::<u16>(), 0..3);
    let account = (text(), text())
        .prop_map(|(namespace, service_account)| ServiceAccountMatch { namespace, service_account })
        .boxed();
    (
        (texts(), texts(), texts(), texts()),
        (blocks(), blocks(), blocks(), blocks()),
        (ports(), ports(), vec(account.clone(), 0..3), vec(account, 0..3)),
    )
        .prop_map(|(texts, blocks, others)| Match {
            namespaces: texts.0,
            not_namespaces: texts.1,
            principals: texts.2,
            not_principals: texts.3,
            source_ips: blocks.0,
            not_source_ips: blocks.1,
            destination_ips: blocks.2,
            not_destination_ips: blocks.3,
            destination_ports: others.0,
            not_destination_ports: others.1,
            service_accounts: others.2,
            not_service_accounts: others.3,
        })
}

fn authorization() -> impl Strategy<Value = Authorization> {
    let scope = proptest::sample::select(vec![Scope::Global, Scope::Namespace, Scope::WorkloadSelector]);
    let action = proptest::sample::select(vec![Action::Allow, Action::Deny]);
    let clause = vec(conditions(), 0..3).prop_map(|matches| Clause { matches });
    let rule = vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    (policy(), scope, action, vec(rule, 0..3), any::<bool>())
        .prop_map(|(key, scope, action, rules, dry_run)| Authorization { key, scope, action, rules, dry_run })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn workloads_come_back_as_they_went(workload in workload()) {
        let body = encode::address_of_workload(&workload).encode_to_vec();
        let read = Decoder::default().address(workload.uid.as_str(), body.as_slice());
        prop_assert_eq!(read, Ok(Address::Workload(workload)));
    }

    #[test]
    fn services_come_back_as_they_went(service in service()) {
        let body = encode::address_of_service(&service).encode_to_vec();
        let read = Decoder::default().address(&service.key.to_string(), body.as_slice());
        prop_assert_eq!(read, Ok(Address::Service(service)));
    }

    #[test]
    fn policies_come_back_as_they_went(policy in authorization()) {
        let body = encode::authorization(&policy).encode_to_vec();
        let read = Decoder::default().authorization(&policy.key.to_string(), body.as_slice());
        prop_assert_eq!(read, Ok(policy));
    }

    #[test]
    fn pods_come_back_as_they_went(
        workload in workload(),
        uid in word(),
        enrol: bool,
        netns in "(/[a-z]{1,5}){0,3}",
        ports in vec((option::of(ip()), 1_u16.., 1_u16..), 0..3),
    ) {
        let port = |(address, port, pod_port)| HostPort { address, port, pod_port };
        let host_ports = ports.into_iter().map(port).collect();
        let netns = (!netns.is_empty()).then(|| netns.into());
        let pod = NodePod { workload: Arc::new(workload), pod_uid: uid.into(), enrol, netns, host_ports };
        let body = encode::pod(&pod).encode_to_vec();
        let read = Decoder::default().pod(pod.workload.uid.as_str(), body.as_slice());
        prop_assert_eq!(read, Ok(pod));
    }
}

fn pod_message() -> message::Workload {
    message::Workload {
        uid: "Kubernetes//Pod/shop/web-1".into(),
        name: "web-1".into(),
        namespace: "shop".into(),
        addresses: vec![Bytes::from_static(&[10, 0, 0, 1])],
        ..Default::default()
    }
}

fn read_workload(it: message::Workload) -> Result<Workload, Fault> {
    let name = it.uid.clone();
    let body = message::Address { r#type: Some(message::address::Type::Workload(it)) }.encode_to_vec();
    match Decoder::default().address(&name, body.as_slice()) {
        Ok(Address::Workload(workload)) => Ok(workload),
        Ok(Address::Service(service)) => panic!("read as {service:?}"),
        Err(error) => Err(error.fault),
    }
}

fn service_message() -> message::Service {
    message::Service { namespace: "shop".into(), hostname: "web.shop".into(), ..Default::default() }
}

fn read_service(it: message::Service) -> Result<Service, Fault> {
    let name = format!("{}/{}", it.namespace, it.hostname);
    let body = message::Address { r#type: Some(message::address::Type::Service(it)) }.encode_to_vec();
    match Decoder::default().address(&name, body.as_slice()) {
        Ok(Address::Service(service)) => Ok(service),
        Ok(Address::Workload(workload)) => panic!("read as {workload:?}"),
        Err(error) => Err(error.fault),
    }
}

#[test]
fn what_is_left_out_has_a_meaning() {
    let workload = read_workload(pod_message()).unwrap();
    assert_eq!(workload.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/default");
    assert!(workload.healthy && !workload.host_network);
    assert_eq!(workload.tunnel_protocol, TunnelProtocol::None);
    let legacy = message::TunnelProtocol::LegacyIstioMtls.into();
    let workload = read_workload(message::Workload { tunnel_protocol: legacy, ..pod_message() }).unwrap();
    assert_eq!(workload.tunnel_protocol, TunnelProtocol::None);
    let mapped = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
    let workload = read_workload(message::Workload { addresses: vec![mapped], ..pod_message() }).unwrap();
    assert_eq!(workload.addresses.as_slice(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn workloads_that_cannot_be_meant_are_refused() {
    type Change = fn(&mut message::Workload);
    let cases: [(&str, Change); 10] = [
        ("uid is missing", |it| it.uid.clear()),
        ("namespace is missing", |it| it.namespace.clear()),
        ("addresses: [10, 0, 0] is not valid", |it| it.addresses = vec![Bytes::from_static(&[10, 0, 0])]),
        ("tunnel_protocol: 9 is not valid", |it| it.tunnel_protocol = 9),
        ("status: -1 is not valid", |it| it.status = -1),
        ("network_mode: 7 is not valid", |it| it.network_mode = 7),
        ("waypoint.destination is missing", |it| it.waypoint = Some(message::GatewayAddress::default())),
        ("network_gateway is not supported", |it| it.network_gateway = Some(message::GatewayAddress::default())),
        ("authorization_policies: \"a/b/c\" is not valid", |it| it.authorization_policies = vec!["a/b/c".into()]),
        ("service_account: \"spiffe://cluster.local/ns/shop/sa/a/ns/b\" is not valid", |it| {
            it.service_account = "a/ns/b".into();
        }),
    ];
    for (fault, change) in cases {
        let mut it = pod_message();
        change(&mut it);
        assert_eq!(read_workload(it).unwrap_err().to_string(), fault);
    }
}

#[test]
fn a_service_that_cannot_be_read_takes_no_workload_with_it() {
    let port = |target_port| message::Port { service_port: 80, target_port, app_protocol: 0 };
    let mut it = pod_message();
    it.services.clear();
    for (name, target_port) in [("web", 80), ("shop/a/b", 80), ("shop/x.org", 0), ("shop/y.org", 80)] {
        it.services.insert(name.into(), message::PortList { ports: vec![port(target_port)] });
    }
    let workload = read_workload(it).unwrap();
    assert_eq!(workload.services.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), ["shop/y.org"]);
}

#[test]
fn services_are_balanced_as_far_as_is_known_here_or_refused() {
    use crate::proto::workload::load_balancing::{Mode, Scope};
    let check = |mode: Mode, scopes: &[Scope], expected: Result<LoadBalancingMode, &str>| {
        let routing_preference = scopes.iter().map(|it| (*it).into()).collect();
        let load_balancing = message::LoadBalancing { routing_preference, mode: mode.into(), health_policy: 0 };
        let read = read_service(message::Service { load_balancing: Some(load_balancing), ..service_message() });
        let mode = read.map(|it| it.load_balancing).map_err(|it| it.to_string());
        assert_eq!(mode, expected.map_err(str::to_owned));
    };
    check(Mode::Strict, &[Scope::Node], Ok(LoadBalancingMode::StrictNode));
    check(Mode::Strict, &[Scope::Network, Scope::Node], Ok(LoadBalancingMode::StrictNode));
    check(Mode::Strict, &[Scope::Zone], Err("load_balancing.routing_preference is not supported"));
    check(Mode::Failover, &[Scope::Zone, Scope::Node], Ok(LoadBalancingMode::PreferNode));
    check(Mode::Failover, &[Scope::Region, Scope::Zone], Ok(LoadBalancingMode::PreferZone));
    check(Mode::Failover, &[Scope::Region], Ok(LoadBalancingMode::Unspecified));
    check(Mode::Passthrough, &[], Ok(LoadBalancingMode::Passthrough));
}

#[test]
fn services_that_cannot_be_meant_are_refused() {
    let check = |it: message::Service, fault: &str| assert_eq!(read_service(it).unwrap_err().to_string(), fault);
    let port = message::Port { service_port: 65536, ..Default::default() };
    check(message::Service { ports: vec![port], ..service_message() }, "ports.service_port: 65536 is not valid");
    let block =
        message::NetworkAddress { address: Bytes::from_static(&[10, 0, 0, 0]), length: Some(8), ..Default::default() };
    check(message::Service { addresses: vec![block], ..service_message() }, "addresses.length is not supported");
    let waypoint = Some(message::GatewayAddress::default());
    check(message::Service { waypoint, ..service_message() }, "waypoint.destination is missing");
    let gateway = |hostname: &str| {
        use crate::proto::workload::gateway_address::Destination;
        let hostname = message::NamespacedHostname { namespace: "edge".into(), hostname: hostname.into() };
        message::GatewayAddress { destination: Some(Destination::Hostname(hostname)), hbone_mtls_port: 15008 }
    };
    for (weights, fault) in [
        (&[("wp", 100)][..], "weighted_waypoints is not supported"),
        (&[("new", 10), ("wp", 90)], "weighted_waypoints is not supported"),
        (&[("wp", 90), ("new", 20)], "weighted_waypoints is not supported"),
        (&[("wp", u32::MAX), ("new", 101)], "weighted_waypoints is not supported"),
        (&[("wp", 80), ("new", 10), ("newer", 10)], "weighted_waypoints is not supported"),
        (&[("wp", 90), ("", 10)], "waypoint.hostname is missing"),
    ] {
        let of = |(name, weight): &(&str, u32)| message::WeightedWaypoint {
            destination: Some(gateway(name)),
            weight: *weight,
        };
        let weighted_waypoints = weights.iter().map(of).collect();
        check(message::Service { waypoint: Some(gateway("wp")), weighted_waypoints, ..service_message() }, fault);
    }
    let weighted_waypoints = vec![message::WeightedWaypoint::default()];
    let nowhere = message::Service { weighted_waypoints, ..service_message() };
    check(nowhere, "weighted_waypoints.destination is missing");
}

#[test]
fn waypoints_that_cannot_be_meant_are_refused() {
    use crate::proto::workload::gateway_address::Destination;
    let hostname = |namespace: &str, hostname: &str| {
        Destination::Hostname(message::NamespacedHostname { namespace: namespace.into(), hostname: hostname.into() })
    };
    let address = |bytes: &'static [u8]| {
        Destination::Address(message::NetworkAddress { address: Bytes::from_static(bytes), ..Default::default() })
    };
    for (destination, hbone_mtls_port, expected) in [
        (hostname("edge", "wp.edge"), 15008, Ok("edge/wp.edge 15008")),
        (hostname("edge", "wp.edge"), 0, Ok("edge/wp.edge 15008")),
        (address(&[10, 0, 0, 1]), 25008, Ok("10.0.0.1 25008")),
        (hostname("", "wp.edge"), 15008, Err("waypoint.namespace is missing")),
        (hostname("edge", ""), 15008, Err("waypoint.hostname is missing")),
        (address(&[10]), 15008, Err("waypoint.address: [10] is not valid")),
        (address(&[10, 0, 0, 1]), 65536, Err("waypoint.hbone_mtls_port: 65536 is not valid")),
    ] {
        let waypoint = Some(message::GatewayAddress { destination: Some(destination), hbone_mtls_port });
        let read = read_service(message::Service { waypoint, ..service_message() });
        let shown = |it: Arc<GatewayAddress>| format!("{it} {}", it.hbone_port);
        let shown = read.map(|it| shown(it.waypoint.unwrap())).map_err(|it| it.to_string());
        assert_eq!(shown.as_deref().map_err(String::as_str), expected);
    }
    let failure = |word: &str| {
        let config =
            Some(prost_types::Any { type_url: encode::STRING_VALUE.into(), value: word.to_owned().encode_to_vec() });
        message::Extension { name: encode::WAYPOINT_FAILURE_EXTENSION.into(), config }
    };
    for word in ["", "closed", "x"] {
        let read = read_service(message::Service { extensions: vec![failure(word)], ..service_message() });
        assert!(read.is_err(), "{word:?}");
    }
}

fn read_conditions(it: security::Match) -> Result<Authorization, Fault> {
    let rule = security::Rule { clauses: vec![security::Clause { matches: vec![it] }] };
    read_policy(security::Authorization { rules: vec![rule], ..policy_message() })
}

fn policy_message() -> security::Authorization {
    security::Authorization { name: "only".into(), namespace: "shop".into(), ..Default::default() }
}

fn read_policy(it: security::Authorization) -> Result<Authorization, Fault> {
    Decoder::default().authorization("shop/only", it.encode_to_vec().as_slice()).map_err(|it| it.fault)
}

#[test]
fn policies_are_never_widened() {
    let check = |read: Result<Authorization, Fault>, fault: &str| assert_eq!(read.unwrap_err().to_string(), fault);
    check(read_policy(security::Authorization { scope: 3, ..policy_message() }), "scope: 3 is not valid");
    check(read_policy(security::Authorization { action: 2, ..policy_message() }), "action: 2 is not valid");
    let extensions = vec![security::Extension::default()];
    let extended = security::Authorization { extensions: extensions.clone(), ..policy_message() };
    check(read_policy(extended), "extensions is not supported");
    check(read_conditions(security::Match { extensions, ..Default::default() }), "match.extensions is not supported");
    let empty = vec![security::StringMatch { match_type: None }];
    check(
        read_conditions(security::Match { not_principals: empty, ..Default::default() }),
        "not_principals is missing",
    );
    let ports = vec![65536];
    let too_high = read_conditions(security::Match { destination_ports: ports, ..Default::default() });
    check(too_high, "destination_ports: 65536 is not valid");
    let mut unknown = policy_message().encode_to_vec();
    unknown.extend([0xf8, 0x01, 0x01]);
    let read = Decoder::default().authorization("shop/only", unknown.as_slice()).map_err(|it| it.fault);
    check(read, "it has fields that are unknown here");
}

#[test]
fn blocks_hold_the_addresses_they_held() {
    let block = |address: &'static [u8], length| {
        let source_ips = vec![security::Address { address: Bytes::from_static(address), length }];
        let policy = read_conditions(security::Match { source_ips, ..Default::default() })?;
        Ok(policy.rules[0].clauses[0].matches[0].source_ips[0].to_string())
    };
    let mapped = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0];
    let refused = |it: Result<String, Fault>| matches!(it, Err(Fault::Invalid { field: "source_ips", .. }));
    assert_eq!(block(&[10, 0, 0, 0], 8), Ok("10.0.0.0/8".into()));
    assert_eq!(block(mapped, 104), Ok("10.0.0.0/8".into()));
    assert_eq!(block(&[0; 16], 0), Ok("::/0".into()));
    for wrong in [block(&[10, 0, 0, 0], 33), block(mapped, 90), block(&[10], 8), block(&[], 0), block(&[0; 16], 300)] {
        assert!(refused(wrong));
    }
}

#[test]
fn a_body_is_read_under_its_own_name_only() {
    let body = encode::meshed_namespace("shop").encode_to_vec();
    assert_eq!(&*Decoder::default().meshed_namespace("shop", body.as_slice()).unwrap(), "shop");
    let error = Decoder::default().meshed_namespace("bank", body.as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "bank: its own name is \"shop\"");
    let large = vec![0; MAX_BODY + 1];
    let error = Decoder::default().authorization("shop/only", large.as_slice()).unwrap_err();
    assert_eq!(error.fault, Fault::TooLarge { size: MAX_BODY + 1 });
}

#[test]
fn names_of_addresses_tell_workloads_from_services() {
    let uid = "Kubernetes//Pod/shop/web-1";
    assert_eq!(AddressName::parse(uid), Ok(AddressName::Workload(WorkloadUid::new(uid))));
    let key = ServiceKey { namespace: "shop".into(), hostname: "web.shop".into() };
    assert_eq!(AddressName::parse("shop/web.shop"), Ok(AddressName::Service(key)));
    for wrong in ["", "shop", "/web", "shop/"] {
        assert!(AddressName::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_many_have_in_common_is_kept_once() {
    let mut decoder = Decoder::default();
    let mut read = |name: &str| {
        let it = message::Workload { uid: format!("Kubernetes//Pod/shop/{name}"), ..pod_message() };
        let uid = it.uid.clone();
        let body = message::Address { r#type: Some(message::address::Type::Workload(it)) }.encode_to_vec();
        match decoder.address(&uid, body.as_slice()) {
            Ok(Address::Workload(workload)) => workload,
            other => panic!("{other:?}"),
        }
    };
    assert!(Arc::ptr_eq(&read("web-1").application, &read("web-2").application));
}

#[test]
fn objects_and_labels_come_back_as_they_went() {
    let decoder = &mut Decoder::default();
    let object = config::Object {
        kind: "GatewayClass".into(),
        api_version: "gateway.networking.k8s.io/v1".into(),
        namespace: String::new(),
        name: "istio-waypoint".into(),
        json: Bytes::from_static(b"{}"),
    };
    let body = object.encode_to_vec();
    assert_eq!(decoder.object("shop/wp/GatewayClass//istio-waypoint", &*body), Ok(object));
    for wrong in ["shop/wp/GatewayClass//other", "GatewayClass//istio-waypoint", ""] {
        assert!(matches!(decoder.object(wrong, &*body).unwrap_err().fault, Fault::Name { .. }), "{wrong:?}");
    }
    let labels = config::Labels { labels: [("version".into(), "v1".into())].into() };
    let expected = Labels::from([("version".into(), "v1".into())]);
    assert_eq!(decoder.labels("Kubernetes//Pod/shop/web-1", &*labels.encode_to_vec()), Ok(expected));
}
