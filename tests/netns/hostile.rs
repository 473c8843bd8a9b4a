//! Pods that call the mesh's own ports, or talk nonsense to them.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use ambit_tests::{Connection, Outcome, PodSpec, ask, knock};

use crate::shop::{PORT, Shop, seen};

/// The agent's ports inside of pods.
const IN_POD: [u16; 3] = [15001, 15006, 15008];

#[test]
fn the_ports_of_the_mesh_serve_no_application() -> Result<()> {
    let mut shop = Shop::closed()?;
    let neighbour = shop.mesh.pod(PodSpec::new("shop", "neighbour", 1))?;
    shop.mesh.start()?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let targets = [loopback, shop.client.ip4().into(), neighbour.ip4().into(), shop.web.ip4().into()];
    for from in [&shop.client, &shop.plain] {
        for (ip, port) in targets.iter().flat_map(|ip| IN_POD.map(|port| (*ip, port))) {
            let outcome = knock(&from.netns(), SocketAddr::new(ip, port), "let me in")?;
            assert!(outcome.is_turned_down(), "{} -> {ip}:{port}: {outcome:?}", from.name());
        }
    }
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "the agents are well");
    Ok(())
}

#[test]
fn the_admin_port_of_the_node_is_not_for_pods() -> Result<()> {
    let shop = Shop::open()?;
    for pod in [&shop.client, &shop.plain] {
        let admin = SocketAddr::new(pod.node().ip4().into(), 15000);
        let outcome = ask(&pod.netns(), admin, "GET /config_dump HTTP/1.0\r\n\r")?;
        assert!(!matches!(outcome, Outcome::Answered(_)), "{}: {outcome:?}", pod.name());
    }
    Ok(())
}

#[test]
fn garbage_ends_its_own_connection_only() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut good = Connection::established(&shop.client.netns(), shop.service)?;
    let record_of_64_kib = [22, 3, 1, 255, 255];
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[255; 65536], &record_of_64_kib] {
        let opened = Connection::open(&shop.plain.netns(), shop.web.at(15008))?;
        let mut connection = opened.map_err(|outcome| anyhow::anyhow!("{outcome:?}"))?;
        // The agent may end the connection before it has taken all.
        connection.stream().write_all(garbage).ok();
        connection.finish().ok();
        let end = connection.read_to_end();
        assert!(matches!(end, Outcome::Closed | Outcome::Reset), "{end:?}");
    }
    good.ask("still there").answer()?;
    assert!(shop.mesh.agent(2)?.process().ended().is_none());
    Ok(())
}

#[test]
fn a_neighbour_on_the_same_node_cannot_slip_past_the_capture() -> Result<()> {
    let mut shop = Shop::closed()?;
    let beside = shop.mesh.pod(PodSpec::new("outside", "beside", 2))?;
    shop.mesh.config.write("strict.yaml", &ambit_tests::manifest::mesh_mode("STRICT"))?;
    shop.mesh.start()?;
    for from in [&beside, &shop.plain] {
        for to in [shop.web.at(PORT), shop.web.at6(PORT)] {
            assert!(ask(&from.netns(), to, "who")?.is_turned_down(), "{} -> {to}", from.name());
        }
    }
    assert_eq!(shop.server.peers().len(), 0);
    Ok(())
}
