//! The server, against a client that does as the test wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::GatewayKey;
use ambit_xds::proto::config::Object;
use ambit_xds::proto::discovery::DeltaDiscoveryRequest;
use ambit_xds::{Entry, TypeUrl};
use tonic::Code;

use crate::mesh::{key, pod, policy, service, uid, workload};
use crate::peers::{Raw, Server};

#[tokio::test]
async fn nobody_unknown_is_served() {
    let server = Server::synced(Vec::new()).await;
    let cases: [(&[&str], Code); 5] = [
        (&[], Code::Unauthenticated),
        (&["stolen"], Code::Unauthenticated),
        (&[""], Code::Unauthenticated),
        (&["node-a", "stolen"], Code::Unauthenticated),
        (&["unavailable"], Code::Unavailable),
    ];
    for (tokens, code) in cases {
        let refused = Raw::try_open(&server, tokens).await.err().map(|it| it.code());
        assert_eq!(refused, Some(code), "{tokens:?}");
    }
}

#[tokio::test]
async fn nothing_is_answered_before_all_there_is_is_known() {
    let server = Server::start().await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &[], &[]).await;
    server.cache.publish(vec![Entry::workload(&workload("web-1", "10.0.0.1", &[]))]);
    server.cache.publish(vec![Entry::workload(&workload("web-2", "10.0.0.2", &[]))]);
    server.cache.synced();
    assert_eq!(raw.next().await, [uid("web-1"), uid("web-2")]);
}

#[tokio::test]
async fn types_of_one_stream_do_not_wait_for_each_other() {
    let server = Server::synced(Vec::new()).await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &["*"], &[]).await;
    let addresses = raw.hear().await;
    raw.ask(TypeUrl::Authorization, &[], &[]).await;
    // Empty, and an answer all the same: the client waits for it to be ready.
    assert_eq!(raw.next().await, [""; 0]);
    server.cache.publish(vec![Entry::authorization(&policy("deny"))]);
    assert_eq!(raw.next().await, ["shop/deny"]);
    raw.acknowledge(&addresses, None).await;
    // A type nobody knows is passed over.
    raw.send(DeltaDiscoveryRequest { type_url: "type.googleapis.com/other".into(), ..Default::default() }).await;
    server
        .cache
        .publish(vec![Entry::workload(&workload("web-1", "10.0.0.1", &[])), Entry::authorization(&policy("allow"))]);
    assert_eq!(raw.next().await, ["shop/allow"]);
    assert_eq!(raw.next().await, [uid("web-1")]);
}

#[tokio::test]
async fn a_workload_does_not_overtake_its_guard() {
    let server = Server::synced(Vec::new()).await;
    let mut raw = Raw::open(&server, "node-a").await;
    for type_url in [TypeUrl::Authorization, TypeUrl::Address, TypeUrl::MeshedNamespace] {
        raw.ask(type_url, &[], &[]).await;
        assert_eq!(raw.next().await, [""; 0]);
    }
    for (guard, name, namespace, refusal) in
        [("allow", "web-1", "shop", None), ("deny", "web-2", "stock", Some("shop/deny: no"))]
    {
        server.cache.publish(vec![Entry::authorization(&policy(guard))]);
        let heard = raw.hear().await;
        assert_eq!(heard.names, [format!("shop/{guard}")]);
        let workload = Entry::workload(&workload(name, "10.0.0.1", &[]));
        server.cache.publish(vec![workload, Entry::meshed_namespace(namespace)]);
        // Whose turn would be after the workload's.
        assert_eq!(raw.next().await, [namespace]);
        raw.acknowledge(&heard, refusal).await;
        assert_eq!(raw.next().await, [uid(name)]);
    }
}

#[tokio::test]
async fn what_a_slow_client_misses_falls_together() {
    let server = Server::synced(vec![Entry::workload(&workload("web-1", "10.0.0.1", &[]))]).await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &[], &[]).await;
    let first = raw.hear().await;
    for n in 0..5000 {
        let ip = format!("10.0.{}.{}", n / 250, n % 250);
        server.cache.publish(vec![
            Entry::workload(&workload("web-1", &ip, &[])),
            Entry::workload(&workload("web-2", &ip, &[])),
            Entry::workload(&workload("web-3", &ip, &[])),
            Entry::removed(TypeUrl::Address, uid("web-3")),
        ]);
    }
    raw.acknowledge(&first, None).await;
    assert_eq!(raw.next().await, [format!("-{}", uid("web-3")), uid("web-1"), uid("web-2")]);
    let counts = server.counters.snapshot();
    assert_eq!((counts.streams, counts.types[0].pushes, counts.types[0].resources), (1, 2, 3));
}

#[tokio::test]
async fn the_first_answer_is_complete_however_large() {
    let pod = |n: usize| Entry::workload(&workload(&format!("web-{n}"), "10.0.0.1", &["web"]));
    let server = Server::synced((0..20_000).map(pod).collect()).await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &[], &[]).await;
    assert_eq!(raw.next().await.len(), 20_000);
    server.cache.publish(vec![pod(20_000)]);
    assert_eq!(raw.next().await, [uid("web-20000")]);
}

#[tokio::test]
async fn one_who_missed_forgotten_removals_must_come_again() {
    let server = Server::synced(vec![Entry::workload(&workload("web-1", "10.0.0.1", &[]))]).await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &[], &[]).await;
    let first = raw.hear().await;
    // On the same stream another type keeps up, and is not held back by the first.
    raw.ask(TypeUrl::Authorization, &[], &[]).await;
    raw.next().await;
    let flood = (0..40_000).flat_map(|n| {
        let mut policy = policy("x");
        policy.key.name = n.to_string().into();
        [Entry::authorization(&policy), Entry::removed(TypeUrl::Authorization, policy.key.to_string())]
    });
    server.cache.publish(flood.collect());
    raw.acknowledge(&first, None).await;
    let error = loop {
        match raw.try_hear().await {
            Ok(heard) => raw.acknowledge(&heard, None).await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::Aborted);
}

#[tokio::test]
async fn names_are_answered_one_by_one() {
    let server = Server::synced(vec![
        Entry::workload(&workload("web-1", "10.0.0.1", &[])),
        Entry::workload(&workload("web-2", "10.0.0.2", &[])),
    ])
    .await;
    let mut raw = Raw::open(&server, "pod").await;
    // How the field's clients ask for nothing, to begin with.
    raw.ask(TypeUrl::Address, &["*"], &["*"]).await;
    assert_eq!(raw.next().await, [""; 0]);
    raw.ask(TypeUrl::Address, &["/10.0.0.1", "/10.0.0.9", &uid("web-2")], &[]).await;
    assert_eq!(raw.next().await, ["-/10.0.0.9".to_owned(), uid("web-1"), uid("web-2")]);
    // Asked for again, it is sent again.
    raw.ask(TypeUrl::Address, &["/10.0.0.1"], &[]).await;
    assert_eq!(raw.next().await, [uid("web-1")]);
    raw.ask(TypeUrl::Address, &["/10.0.0.9"], &[&uid("web-2")]).await;
    assert_eq!(raw.next().await, ["-/10.0.0.9"]);
    server.cache.publish(vec![
        Entry::workload(&workload("web-2", "10.0.0.3", &[])),
        Entry::workload(&workload("web-9", "10.0.0.9", &[])),
    ]);
    assert_eq!(raw.next().await, [uid("web-9")]);
    // The address asked for goes to another pod.
    server.cache.publish(vec![
        Entry::removed(TypeUrl::Address, uid("web-1")),
        Entry::workload(&workload("web-3", "10.0.0.1", &[])),
    ]);
    assert_eq!(raw.next().await, [format!("-{}", uid("web-1")), uid("web-3")]);
}

#[tokio::test]
async fn who_asks_for_a_service_gets_its_endpoints() {
    let server = Server::synced(vec![
        Entry::service(&service("web", "10.1.0.1")),
        Entry::workload(&workload("web-1", "10.0.0.1", &["web"])),
        Entry::workload(&workload("other", "10.0.0.2", &["other"])),
    ])
    .await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &["/10.1.0.1", "/10.1.0.2"], &[]).await;
    let web = key("web").to_string();
    assert_eq!(raw.next().await, ["-/10.1.0.2".to_owned(), uid("web-1"), web.clone()]);
    server.cache.publish(vec![Entry::workload(&workload("web-2", "10.0.0.3", &["web"]))]);
    assert_eq!(raw.next().await, [uid("web-2")]);
    // It is an endpoint no more: nothing that was asked for.
    server.cache.publish(vec![Entry::workload(&workload("web-1", "10.0.0.1", &[]))]);
    assert_eq!(raw.next().await, [format!("-{}", uid("web-1"))]);
    // A service that comes later comes with its endpoints.
    server.cache.publish(vec![Entry::service(&service("other", "10.1.0.2"))]);
    assert_eq!(raw.next().await, [uid("other"), key("other").to_string()]);
}

#[tokio::test]
async fn who_comes_again_by_name_is_told_what_differs() {
    let server = Server::synced(vec![Entry::workload(&workload("web-1", "10.0.0.1", &[]))]).await;
    let mut raw = Raw::open(&server, "pod").await;
    let held = [(uid("web-1"), "another version".to_owned()), (uid("web-2"), "1".to_owned())];
    raw.send(DeltaDiscoveryRequest {
        type_url: TypeUrl::Address.as_str().into(),
        resource_names_subscribe: vec!["*".into()],
        resource_names_unsubscribe: vec!["*".into()],
        initial_resource_versions: BTreeMap::from(held),
        ..Default::default()
    })
    .await;
    assert_eq!(raw.next().await, [format!("-{}", uid("web-2")), uid("web-1")]);
    // What it held is what it asked for.
    server.cache.publish(vec![Entry::workload(&workload("web-2", "10.0.0.2", &[]))]);
    assert_eq!(raw.next().await, [uid("web-2")]);
}

#[tokio::test]
async fn from_names_to_everything_and_back() {
    let server = Server::synced(vec![
        Entry::workload(&workload("web-1", "10.0.0.1", &[])),
        Entry::workload(&workload("web-2", "10.0.0.2", &[])),
    ])
    .await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &[&uid("web-1")], &[]).await;
    assert_eq!(raw.next().await, [uid("web-1")]);
    raw.ask(TypeUrl::Address, &["*"], &[]).await;
    assert_eq!(raw.next().await, [uid("web-1"), uid("web-2")]);
    raw.ask(TypeUrl::Address, &[&uid("web-2")], &["*"]).await;
    assert_eq!(raw.next().await, [uid("web-2")]);
    server.cache.publish(vec![
        Entry::workload(&workload("web-1", "10.0.0.3", &[])),
        Entry::workload(&workload("web-2", "10.0.0.4", &[])),
    ]);
    assert_eq!(raw.next().await, [uid("web-2")]);
}

#[tokio::test]
async fn a_node_hears_of_its_own_pods_only() {
    let server = Server::synced(vec![Entry::pod(&pod("web-1", "a", true)), Entry::pod(&pod("web-2", "b", true))]).await;
    let mut a = Raw::open(&server, "node-a").await;
    let mut b = Raw::open(&server, "node-b").await;
    a.ask(TypeUrl::Pod, &[], &[]).await;
    // Asking for another's by name is asking for what does not exist.
    b.ask(TypeUrl::Pod, &["*", &uid("web-1")], &[]).await;
    assert_eq!(a.next().await, [uid("web-1")]);
    assert_eq!(b.next().await, [format!("-{}", uid("web-1")), uid("web-2")]);
    // A pod of the same name comes back on the other node.
    server.cache.publish(vec![Entry::pod(&pod("web-1", "b", true))]);
    assert_eq!(a.next().await, [format!("-{}", uid("web-1"))]);
    assert_eq!(b.next().await, [uid("web-1")]);
    server.cache.publish(vec![Entry::removed(TypeUrl::Pod, uid("web-1")), Entry::pod(&pod("web-3", "a", false))]);
    assert_eq!(a.next().await, [uid("web-3")]);
    assert_eq!(b.next().await, [format!("-{}", uid("web-1"))]);
}

fn waypoint(name: &str) -> GatewayKey {
    GatewayKey { namespace: "shop".into(), name: name.into() }
}

/// An object `shop/web` for a waypoint.
fn object(waypoint: &GatewayKey, json: &'static str) -> Entry {
    let (kind, namespace, name) = ("VirtualService".into(), "shop".into(), "web".into());
    let (api_version, json) = ("networking.istio.io/v1".into(), json.into());
    Entry::object(waypoint, &Object { kind, api_version, namespace, name, json })
}

fn object_name(waypoint: &str) -> String {
    format!("shop/{waypoint}/VirtualService/shop/web")
}

fn removed_object(waypoint: &GatewayKey) -> Entry {
    Entry::removed_object(waypoint, "VirtualService", "shop", "web")
}

#[tokio::test]
async fn a_waypoint_hears_of_its_own_objects_only() {
    let (a, b) = (waypoint("a"), waypoint("b"));
    let server = Server::synced(vec![object(&a, "1"), object(&b, "1")]).await;
    let mut raw = Raw::open(&server, "waypoint-shop/a").await;
    // Another's objects do not exist.
    raw.ask(TypeUrl::Object, &["*", &object_name("b")], &[]).await;
    assert_eq!(raw.next().await, [object_name("a")]);
    raw.ask(TypeUrl::Address, &[], &[]).await;
    assert_eq!(raw.next().await, [""; 0]);
    assert_eq!(raw.next().await, [format!("-{}", object_name("b"))]);
    server.cache.publish(vec![object(&a, "2"), object(&b, "2")]);
    assert_eq!(raw.next().await, [object_name("a")]);
    server.cache.publish([&a, &b].map(removed_object).into());
    assert_eq!(raw.next().await, [format!("-{}", object_name("a"))]);
}

#[tokio::test]
async fn guards_come_before_addresses_and_go_after_them() {
    let (a, b) = (waypoint("a"), waypoint("b"));
    let service = |ip: &str| Entry::service(&service("web", ip));
    let service_name = key("web").to_string();
    let server = Server::synced(vec![object(&a, "1"), service("10.1.0.1")]).await;
    let (mut from, mut to) = (Raw::open(&server, "waypoint-shop/a").await, Raw::open(&server, "waypoint-shop/b").await);
    for (raw, objects) in [(&mut from, vec![object_name("a")]), (&mut to, vec![])] {
        for (type_url, expected) in [(TypeUrl::Object, objects), (TypeUrl::Address, vec![service_name.clone()])] {
            raw.ask(type_url, &[], &[]).await;
            assert_eq!(raw.next().await, expected);
        }
    }
    // From one waypoint to the other.
    server.cache.publish(vec![removed_object(&a), object(&b, "1"), service("10.1.0.2")]);
    let address = from.hear().await;
    assert_eq!(address.names, [&*service_name]);
    // Nothing more before that is taken, and what is gone and there again was never gone.
    server.cache.publish(vec![object(&a, "1")]);
    let again = from.hear().await;
    assert_eq!(again.names, [object_name("a")]);
    from.acknowledge(&again, None).await;
    server.cache.publish(vec![removed_object(&a)]);
    from.acknowledge(&address, None).await;
    assert_eq!(from.next().await, [format!("-{}", object_name("a"))]);
    assert_eq!([to.next().await, to.next().await], [[object_name("b")], [service_name]]);
}

#[tokio::test]
async fn what_went_while_a_waypoint_was_away_goes_after_the_addresses_too() {
    let (a, web) = (waypoint("a"), key("web").to_string());
    let mut entries = vec![Entry::service(&service("web", "10.1.0.1"))];
    entries.push(Entry::unknown_object(&a, "Secret", "shop", "key"));
    let server = Server::synced(entries).await;
    let mut raw = Raw::open(&server, "waypoint-shop/a").await;
    let held = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
    let secret = "shop/a/Secret/shop/key";
    for (type_url, names) in [(TypeUrl::Object, &[&*object_name("a"), secret][..]), (TypeUrl::Address, &[&*web])] {
        raw.send(DeltaDiscoveryRequest {
            type_url: type_url.as_str().into(),
            initial_resource_versions: held(names),
            ..Default::default()
        })
        .await;
    }
    assert_eq!(raw.next().await, [""; 0]);
    assert_eq!(raw.next().await, [web]);
    // Of the other object it is not known whether it is gone.
    assert_eq!(raw.next().await, [format!("-{}", object_name("a"))]);
    server.cache.publish(vec![Entry::removed_object(&a, "Secret", "shop", "key")]);
    assert_eq!(raw.next().await, [format!("-{secret}")]);
}

#[tokio::test]
async fn labels_come_and_go_with_their_workload() {
    let labelled = |labels: &[(&str, &str)]| {
        let mut workload = workload("web-1", "10.0.0.1", &[]);
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Arc::make_mut(&mut workload.application).labels = Arc::new(labels);
        vec![Entry::labels(&workload)]
    };
    let server = Server::synced(labelled(&[("version", "v1")])).await;
    let mut raw = Raw::open(&server, "waypoint-shop/a").await;
    raw.ask(TypeUrl::Labels, &[], &[]).await;
    assert_eq!(raw.next().await, [uid("web-1")]);
    server.cache.publish(labelled(&[("version", "v2")]));
    assert_eq!(raw.next().await, [uid("web-1")]);
    server.cache.publish(labelled(&[]));
    assert_eq!(raw.next().await, [format!("-{}", uid("web-1"))]);
}

#[tokio::test]
async fn some_types_are_for_nodes_or_waypoints_alone() {
    let server = Server::synced(vec![Entry::pod(&pod("web-1", "a", true)), Entry::meshed_namespace("shop")]).await;
    for (token, allowed) in [
        ("pod", &[TypeUrl::Address, TypeUrl::Authorization][..]),
        ("node-a", &TypeUrl::OF_AGENTS),
        ("waypoint-shop/a", &[&TypeUrl::OF_WAYPOINTS[..], &[TypeUrl::Authorization]].concat()),
    ] {
        for type_url in TypeUrl::ALL {
            let mut raw = Raw::open(&server, token).await;
            raw.ask(type_url, &[], &[]).await;
            let refused = raw.try_hear().await.err().map(|status| status.code());
            let expected = (!allowed.contains(&type_url)).then_some(Code::PermissionDenied);
            assert_eq!(refused, expected, "{token} {type_url}");
        }
    }
    let mut raw = Raw::open(&server, "node-a").await;
    raw.ask(TypeUrl::MeshedNamespace, &[], &[]).await;
    assert_eq!(raw.next().await, ["shop"]);
}

#[tokio::test]
async fn refusals_count_once_and_for_the_answer_that_was_sent() {
    let server = Server::synced(vec![Entry::authorization(&policy("deny"))]).await;
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Authorization, &[], &[]).await;
    let heard = raw.hear().await;
    raw.acknowledge(&heard, Some("shop/deny: no")).await;
    raw.acknowledge(&heard, Some("shop/deny: no, no")).await;
    server.cache.publish(vec![Entry::authorization(&policy("allow"))]);
    assert_eq!(raw.next().await, ["shop/allow"]);
    assert_eq!(server.nacks(TypeUrl::Authorization), 1);
}

#[tokio::test]
async fn names_have_bounds() {
    let server = Server::synced(Vec::new()).await;
    let long = "x".repeat(1025);
    let mut raw = Raw::open(&server, "pod").await;
    raw.ask(TypeUrl::Address, &[&long], &[]).await;
    assert_eq!(raw.try_hear().await.unwrap_err().code(), Code::InvalidArgument);
    // Agents know as much as the mesh is large; any other pod does not, nor does it write as much.
    for (token, number, length) in [("pod", 501, 1), ("pod", 400, 1000), ("node-a", 200_001, 1)] {
        let few: Vec<_> = (0..number.min(250)).map(|n| format!("{n:0length$}")).collect();
        let many: Vec<_> = (0..number).map(|n| format!("{n:0length$}")).collect();
        for (names, refused) in [(few, None), (many, Some(()))] {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let mut raw = Raw::open(&server, token).await;
            raw.ask(TypeUrl::Address, &names, &[]).await;
            let answer = raw.try_hear().await.err().map(|status| status.code());
            assert_eq!(answer.map(|_| ()), refused, "{token}: {} names: {answer:?}", names.len());
        }
    }
}
