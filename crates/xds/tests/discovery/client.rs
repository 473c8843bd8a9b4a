//! The client, against the server.

use ambit_xds::{Entry, Subscription, TypeUrl};

use crate::mesh::{key, policy, service, uid, workload};
use crate::peers::{Event, Following, Server, names, until};

const ALL_ADDRESSES: &[(TypeUrl, Subscription)] = &[(TypeUrl::Address, Subscription::Wildcard)];

#[tokio::test]
async fn all_there_is_comes_first_and_then_what_changes() {
    let server = Server::synced(vec![
        Entry::workload(&workload("web-1", "10.0.0.1", &["web"])),
        Entry::service(&service("web", "10.1.0.1")),
        Entry::authorization(&policy("deny")),
    ])
    .await;
    let types = [(TypeUrl::Address, Subscription::Wildcard), (TypeUrl::Authorization, Subscription::Wildcard)];
    let mut client = Following::start(&server, &types);
    assert!(matches!(client.event().await, Event::Connected));
    let mut first = [client.update().await, client.update().await];
    first.sort_by_key(|it| it.type_url);
    assert!(first.iter().all(|it| it.first_complete));
    assert_eq!(names(&first[0]), [uid("web-1"), key("web").to_string()]);
    assert_eq!(names(&first[1]), ["shop/deny"]);

    // The second is what it was, and no push.
    let moved = workload("web-1", "10.0.0.2", &["web"]);
    server.cache.publish(vec![Entry::workload(&moved), Entry::service(&service("web", "10.1.0.1"))]);
    let update = client.update().await;
    assert_eq!((names(&update), update.first_complete), (vec![uid("web-1")], false));
    server.cache.publish(vec![Entry::removed(TypeUrl::Address, uid("web-1"))]);
    assert_eq!(names(&client.update().await), [format!("-{}", uid("web-1"))]);
}

#[tokio::test]
async fn after_a_reconnect_only_what_differs_is_told() {
    let one = Entry::workload(&workload("web-1", "10.0.0.1", &[]));
    let gone = Entry::workload(&workload("web-2", "10.0.0.2", &[]));
    let changed = |ip| Entry::workload(&workload("web-3", ip, &[]));
    let server = Server::synced(vec![one.clone(), gone, changed("10.0.0.3")]).await;
    let mut client = Following::start(&server, ALL_ADDRESSES);
    assert_eq!(client.update().await.resources.len(), 3);

    // Another process: it knows nothing of the first.
    let other = Server::synced(vec![changed("10.0.0.4"), one]).await;
    client.go_to(&other);
    drop(server);
    let update = client.update().await;
    assert_eq!(names(&update), [format!("-{}", uid("web-2")), uid("web-3")]);
    assert!(!update.first_complete);
    assert_eq!(client.held(), [uid("web-1"), uid("web-3")]);
}

#[tokio::test]
async fn what_is_refused_is_not_held_and_comes_again_when_it_is_mended() {
    let bad = Entry::workload(&workload("web-1", "10.0.0.1", &[]));
    let good = Entry::workload(&workload("web-2", "10.0.0.2", &[]));
    let entries = vec![bad, good];
    let server = Server::synced(entries.clone()).await;
    let mut client = Following::start(&server, ALL_ADDRESSES);
    client.refuse(Some(uid("web-1")));
    client.update().await;
    until("the refusal is counted", || server.nacks(TypeUrl::Address) == 1).await;
    assert_eq!(client.held(), [uid("web-2")]);

    let other = Server::synced(entries).await;
    client.go_to(&other);
    drop(server);
    assert_eq!(names(&client.update().await), [uid("web-1")]);
    until("the refusal is counted", || other.nacks(TypeUrl::Address) == 1).await;

    client.refuse(None);
    other.cache.publish(vec![Entry::workload(&workload("web-1", "10.0.0.9", &[]))]);
    assert_eq!(names(&client.update().await), [uid("web-1")]);
    assert_eq!(client.held(), [uid("web-1"), uid("web-2")]);
    assert_eq!(other.nacks(TypeUrl::Address), 1);
}

#[tokio::test]
async fn a_refused_change_leaves_the_version_before_it_held() {
    let version = |ip| Entry::workload(&workload("web-1", ip, &[]));
    let server = Server::synced(vec![version("10.0.0.1")]).await;
    let mut client = Following::start(&server, ALL_ADDRESSES);
    client.update().await;
    client.refuse(Some(uid("web-1")));
    server.cache.publish(vec![version("10.0.0.2")]);
    client.update().await;

    // The object is gone meanwhile: who held its first version must hear of that.
    let other = Server::synced(Vec::new()).await;
    client.go_to(&other);
    drop(server);
    assert_eq!(names(&client.update().await), [format!("-{}", uid("web-1"))]);
}

#[tokio::test]
async fn what_is_asked_for_by_name_may_change_at_any_time() {
    let server = Server::synced(vec![
        Entry::workload(&workload("web-1", "10.0.0.1", &[])),
        Entry::workload(&workload("web-2", "10.0.0.2", &[])),
    ])
    .await;
    let mut client = Following::start(&server, &[(TypeUrl::Address, Subscription::OnDemand)]);
    let first = client.update().await;
    assert_eq!((names(&first), first.first_complete), (vec![], true));
    client.names.subscribe(TypeUrl::Address, ["/10.0.0.1"]);
    assert_eq!(names(&client.update().await), [uid("web-1")]);
    client.names.subscribe(TypeUrl::Address, [uid("web-2")]);
    assert_eq!(names(&client.update().await), [uid("web-2")]);
    client.names.unsubscribe(TypeUrl::Address, ["/10.0.0.1"]);
    client.names.subscribe(TypeUrl::Address, ["/10.0.0.3"]);
    assert_eq!(names(&client.update().await), ["-/10.0.0.3"]);
    // The first is not wanted any more: its change is its end.
    server.cache.publish(vec![
        Entry::workload(&workload("web-1", "10.0.0.1", &["web"])),
        Entry::workload(&workload("web-3", "10.0.0.3", &[])),
    ]);
    assert_eq!(names(&client.update().await), [format!("-{}", uid("web-1")), uid("web-3")]);

    let other = Server::synced(vec![Entry::workload(&workload("web-3", "10.0.0.3", &[]))]).await;
    client.go_to(&other);
    drop(server);
    assert_eq!(names(&client.update().await), [format!("-{}", uid("web-2"))]);
}

#[tokio::test]
async fn failed_attempts_are_told_of() {
    let server = Server::synced(Vec::new()).await;
    let mut client = Following::start(&server, ALL_ADDRESSES);
    client.update().await;
    drop(server);
    assert!(matches!(client.event().await, Event::Disconnected(_)));
    // Nobody listens there any more.
    let Event::Disconnected(why) = client.event().await else { panic!("it has connected to nobody") };
    assert_eq!(why, "cannot connect");
}
