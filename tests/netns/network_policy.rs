//! Policies by address that a node's network enforces, as implementations of NetworkPolicy make them of pods'
//! addresses: in the mesh they hold as they are, but for the port, which is the tunnel's.

use std::net::Ipv4Addr;

use anyhow::Result;

use ambit_tests::{Node, run};

use crate::shop::{PORT, Shop, wait_answered, wait_turned_down};

/// What may reach a pod, by an nftables expression; everything else is rejected on its node.
fn only(node: &Node, pod: Ipv4Addr, may: &str) -> Result<()> {
    let nft = |rule: &str| run(node.netns().command("nft").arg(rule)).map(drop);
    nft("add table ip of_pod")?;
    nft("flush table ip of_pod")?;
    nft("add chain ip of_pod forward { type filter hook forward priority 0; }")?;
    nft(&format!("add rule ip of_pod forward ip daddr {pod} {may} accept"))?;
    nft(&format!("add rule ip of_pod forward ip daddr {pod} meta l4proto tcp reject with tcp reset"))
}

#[test]
fn policies_by_the_addresses_of_pods_hold_for_tunnels() -> Result<()> {
    let shop = Shop::open()?;
    let (client, other) = (shop.client.netns(), shop.other.netns());
    let (client_ip, web_ip, node) = (shop.client.ip4(), shop.web.ip4(), shop.web.node());
    for from in [&client, &other] {
        wait_answered(from, shop.service)?;
    }
    only(node, web_ip, &format!("ip saddr {client_ip}"))?;
    wait_turned_down(&other, shop.service)?;
    wait_turned_down(&other, shop.web.at(PORT))?;
    for to in [shop.service, shop.web.at(PORT)] {
        wait_answered(&client, to)?;
    }
    // One that names ports: those of applications are inside of the tunnel.
    only(node, web_ip, &format!("ip saddr {client_ip} tcp dport {PORT}"))?;
    wait_turned_down(&client, shop.service)?;
    only(node, web_ip, &format!("ip saddr {client_ip} tcp dport {{ {PORT}, 15008 }}"))?;
    wait_answered(&client, shop.service)?;
    wait_turned_down(&other, shop.service)
}
