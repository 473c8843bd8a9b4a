//! What the mesh must leave alone.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use ambit_tests::{Behaviour, Mesh, Netns, PodSpec, Server, ask, manifest, run};

use crate::shop::{PORT, Shop, seen, wait_turned_down};

#[test]
fn probes_of_the_node_reach_its_pods_untouched() -> Result<()> {
    let mut shop = Shop::open()?;
    let node = shop.mesh.world.node(2).clone();
    assert_eq!(seen(&node.netns(), shop.web.at(PORT))?, node.ip4(), "no address is rewritten");
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    wait_turned_down(&shop.plain.netns(), shop.web.at(PORT))?;
    assert_eq!(seen(&node.netns(), shop.web.at(PORT))?, node.ip4());
    assert_eq!(seen(&node.netns(), shop.web.at6(PORT))?, node.ip6());
    let foreign = shop.mesh.world.node(1).netns();
    assert!(ask(&foreign, shop.web.at(PORT), "who")?.is_turned_down(), "another node has no business here");
    assert!(shop.mesh.agent(2)?.access_log().iter().all(|line| !line.field("src.addr").starts_with("192.168.101.2")));
    Ok(())
}

#[test]
fn what_is_not_of_the_mesh_never_sees_user_space() -> Result<()> {
    let mut shop = Shop::open()?;
    let nodes = shop.mesh.world.nodes().clone();
    let on_plain = Server::start(&shop.plain.netns(), PORT, Behaviour::Whoami)?;
    let on_node = Server::start(&nodes[1].netns(), PORT, Behaviour::Whoami)?;
    let on_loopback = Server::start_at(&shop.client.netns(), (Ipv4Addr::LOCALHOST, 9000).into(), Behaviour::Whoami)?;

    let node_2 = SocketAddr::new(nodes[1].ip4().into(), PORT);
    seen(&shop.client.netns(), (Ipv4Addr::LOCALHOST, 9000).into())?;
    seen(&shop.client.netns(), shop.plain.at(PORT))?;
    seen(&shop.client.netns(), node_2)?;
    seen(&nodes[0].netns(), shop.plain.at(PORT))?;
    seen(&nodes[0].netns(), node_2)?;

    for node in [1, 2] {
        let agent = shop.mesh.agent(node)?;
        assert_eq!(agent.metrics()?.sum("istio_tcp_connections_opened_total", &[]), 0.0);
        assert!(agent.access_log().is_empty(), "{:?}", agent.access_log());
    }
    drop((on_plain, on_node, on_loopback));
    Ok(())
}

#[test]
fn no_packet_filter_and_no_connection_tracking_anywhere() -> Result<()> {
    let shop = Shop::open()?;
    for from in [&shop.client, &shop.plain] {
        assert_eq!(seen(&from.netns(), shop.web.at(PORT))?, from.ip4());
    }
    let pods = [&shop.client, &shop.other, &shop.web, &shop.plain].map(|pod| pod.netns());
    for netns in pods.into_iter().chain(shop.mesh.world.nodes().iter().map(|node| node.netns())) {
        assert_eq!(rules(&netns)?, "", "{netns:?}");
    }
    Ok(())
}

/// All rules and tracked connections of a namespace; an unknown table in the kernel has none.
fn rules(netns: &Netns) -> Result<String> {
    let mut all = run(netns.command("nft").args(["list", "ruleset"]))?;
    for names in ["net/ip_tables_names", "net/ip6_tables_names", "net/nf_conntrack"] {
        all += &netns.proc_file(names).unwrap_or_default();
    }
    Ok(all)
}

#[test]
fn meshes_on_one_kernel_do_not_meet() -> Result<()> {
    let mut denying = Shop::open()?;
    let allowing = Shop::open()?;
    let policy = manifest::policy("shop", "nobody", "web", "ALLOW", &["cluster.local/ns/nowhere/sa/nobody"]);
    denying.mesh.apply("policy.yaml", &policy, "nobody")?;
    assert_eq!(denying.client.ip4(), allowing.client.ip4(), "the same addresses mean different pods");
    assert!(ask(&denying.client.netns(), denying.service, "who")?.is_turned_down());
    assert_eq!(seen(&allowing.client.netns(), allowing.service)?, allowing.client.ip4());
    drop(denying);
    assert_eq!(seen(&allowing.client.netns(), allowing.service)?, allowing.client.ip4());
    Ok(())
}

#[test]
fn agents_of_different_identity_authorities_do_not_trust_each_other() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let server = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
    let elsewhere = mesh.world.directory().join("another-state").display().to_string();
    mesh.start_agent(1, &[])?.wait_ready()?;
    mesh.start_agent(2, &[("--state", &elsewhere)])?.wait_ready()?;
    assert!(ask(&client.netns(), web.at(PORT), "who")?.is_turned_down());
    assert!(server.peers().is_empty());
    Ok(())
}
