//! What a node's network sees of meshed connections: pods' own addresses, so that policies by them hold, and
//! no Service's, so that kube-proxy has nothing to translate.

use anyhow::Result;

use ambit_tests::cluster::{Counted, Namespace, Node, client, server};

use crate::mesh;

const URL: &str = "http://web/debug";
const MANY: usize = 20;

#[test]
fn kube_proxy_translates_unmeshed_connections_only() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::plain("kube-proxy")?;
    let [client, web] = shop.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    let address = shop.kubectl(&["get", "service", "web", "--output=jsonpath={.spec.clusterIP}"])?;
    // kube-proxy's own chain for the service has a rule for this address: without it nothing would answer.
    let to_service = Counted::new(Node::ALL[0], "kube-proxy-test", &format!("ip daddr {address} tcp dport 80"))?;
    client.wait_answered(URL)?;
    assert!(to_service.packets()? > 0, "what is not meshed goes by way of kube-proxy");
    shop.enrol()?;
    [&client, &web].into_iter().try_for_each(|pod| pod.wait_enrolled(true))?;
    client.wait_answered(URL)?;
    let before = to_service.packets()?;
    for _ in 0..MANY {
        client.ask(URL)?;
    }
    assert_eq!(to_service.packets()?, before, "packets of meshed connections to the service's address");
    shop.release()?;
    [&client, &web].into_iter().try_for_each(|pod| pod.wait_enrolled(false))?;
    client.wait_answered(URL)?;
    assert!(to_service.packets()? > before, "what is not meshed any more goes by way of kube-proxy again");
    Ok(())
}

#[test]
fn tunnels_are_between_the_pods_own_addresses() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("wire")?;
    let [client, web] = shop.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    [&client, &web].into_iter().try_for_each(|pod| pod.wait_enrolled(true))?;
    let pair = format!("ip saddr {} ip daddr {}", client.ip()?, web.ip()?);
    let tunnel = Node::ALL.map(|node| Counted::new(node, "wire-tunnel", &format!("{pair} tcp dport 15008")));
    let plain = Node::ALL.map(|node| Counted::new(node, "wire-plain", &format!("{pair} tcp dport != 15008")));
    // Of another's name: that of a node, or of a tunnel's far end, would be one.
    let others = format!("ip saddr != {} ip daddr {} tcp dport 15008", client.ip()?, web.ip()?);
    let others = Node::ALL.map(|node| Counted::new(node, "wire-others", &others));
    client.wait_answered(URL)?;
    for counted in tunnel {
        assert!(counted?.packets()? > 0, "a tunnel from pod to pod");
    }
    for counted in plain.into_iter().chain(others) {
        assert_eq!(counted?.packets()?, 0, "nothing beside it");
    }
    Ok(())
}
