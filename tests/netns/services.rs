//! Services: which endpoint is asked, and what happens when one does not answer.

use anyhow::Result;

use ambit_tests::{Behaviour, PodSpec, Server, ask};

use crate::shop::{PORT, Shop, seen, wait_answered, wait_turned_down};

#[test]
fn an_endpoint_that_refuses_is_passed_over() -> Result<()> {
    let mut shop = Shop::closed()?;
    // One enrolled and one plain endpoint with nobody listening, on either node.
    shop.mesh.pod(PodSpec::new("shop", "broken", 1).label("app", "web"))?;
    shop.mesh
        .pod(PodSpec::new("shop", "broken-plain", 2).label("app", "web").label("istio.io/dataplane-mode", "none"))?;
    shop.mesh.start()?;
    for _ in 0..20 {
        assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    }
    Ok(())
}

#[test]
fn all_endpoints_of_a_service_are_used() -> Result<()> {
    let mut shop = Shop::closed()?;
    let mut servers = Vec::new();
    for (name, node) in [("one", 1), ("two", 2), ("three", 2)] {
        let pod = shop.mesh.pod(PodSpec::new("shop", name, node).label("app", "many"))?;
        servers.push(Server::start(&pod.netns(), PORT, Behaviour::Say(name.to_owned()))?);
    }
    let [service, _] = shop.mesh.service("many", PORT)?;
    shop.mesh.start()?;
    let mut missing = vec!["one", "two", "three"];
    // 100 draws of one in three miss a given one with a chance of 2.5e-18.
    for _ in 0..100 {
        let answer = ask(&shop.client.netns(), service, "who")?.answer()?;
        missing.retain(|name| *name != answer);
    }
    assert!(missing.is_empty(), "never asked: {missing:?}");
    Ok(())
}

#[test]
fn a_service_may_stand_before_plain_pods() -> Result<()> {
    let mut shop = Shop::closed()?;
    let bare = shop.mesh.pod(PodSpec::new("shop", "bare", 2).label("istio.io/dataplane-mode", "none"))?;
    let [service, _] = shop.mesh.service("bare", PORT)?;
    let _server = Server::start(&bare.netns(), PORT, Behaviour::Whoami)?;
    shop.mesh.start()?;
    assert_eq!(seen(&shop.client.netns(), service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn what_a_service_does_not_offer_is_turned_down() -> Result<()> {
    let mut shop = Shop::closed()?;
    let [empty, _] = shop.mesh.service("nobody", PORT)?;
    shop.mesh.start()?;
    let other_port = std::net::SocketAddr::new(shop.service.ip(), 81);
    for to in [empty, other_port] {
        assert!(ask(&shop.client.netns(), to, "who")?.is_turned_down(), "{to}");
    }
    Ok(())
}

#[test]
fn a_pod_that_comes_later_serves_too() -> Result<()> {
    let mut shop = Shop::open()?;
    let [service, _] = shop.mesh.service("late", PORT)?;
    let late = shop.mesh.pod(PodSpec::new("shop", "late", 2))?;
    let _server = Server::start(&late.netns(), PORT, Behaviour::Whoami)?;
    wait_answered(&shop.client.netns(), service)
}

#[test]
fn a_service_is_seen_where_it_is_exported_to() -> Result<()> {
    let mut shop = Shop::closed()?;
    let stranger = shop.mesh.pod(PodSpec::new("outside", "stranger", 1).label("istio.io/dataplane-mode", "ambient"))?;
    let web = shop.web.ip4();
    let entry = |export_to: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: x, namespace: shop}}\n\
             spec: {{hosts: [x.org], addresses: [240.0.0.9], resolution: STATIC, exportTo: [{export_to}], \
             ports: [{{number: 80, targetPort: {PORT}}}], endpoints: [{{address: {web}}}]}}\n"
        )
    };
    let service = std::net::SocketAddr::from(([240, 0, 0, 9], 80));
    shop.mesh.config.write("entry.yaml", &entry("'*'"))?;
    shop.mesh.start()?;
    let (own, other) = (shop.client.netns(), stranger.netns());
    wait_answered(&own, service)?;
    wait_answered(&other, service)?;
    shop.mesh.config.write("entry.yaml", &entry("."))?;
    wait_turned_down(&other, service)?;
    wait_answered(&own, service)?;
    let refused = shop.mesh.agent(1)?.wait_access(|line| line.error().is_some())?;
    let why = refused.error().unwrap_or_default();
    assert!(why.contains("service shop/x.org is not exported to namespace outside"), "{why}");
    shop.mesh.config.write("entry.yaml", &entry("outside"))?;
    wait_answered(&other, service)?;
    wait_turned_down(&own, service)?;
    shop.mesh.config.write("entry.yaml", &entry("'~'"))?;
    wait_turned_down(&other, service)
}
