//! IPv6, and IPv4 through IPv6 sockets.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};

use ambit_tests::{Connection, manifest};

use crate::shop::{PORT, Shop, seen, wait_turned_down};

#[test]
fn captured_to_captured_over_ipv6() -> Result<()> {
    let mut shop = Shop::open()?;
    let capture = shop.mesh.world.capture()?;
    for to in [shop.service6, shop.web.at6(PORT)] {
        assert_eq!(seen(&shop.client.netns(), to)?, shop.client.ip6());
    }
    capture.stop()?.only_tunnels()?;
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("dst.workload") == "web")?;
    assert_eq!(line.field("src.identity"), shop.client.identity());
    Ok(())
}

#[test]
fn an_ipv6_socket_that_asks_for_ipv4_is_captured() -> Result<()> {
    let shop = Shop::open()?;
    let capture = shop.mesh.world.capture()?;
    for to in [mapped(shop.service)?, mapped(shop.web.at(PORT))?] {
        assert_eq!(seen(&shop.client.netns(), to)?, shop.client.ip4());
        let connection = Connection::established(&shop.client.netns(), to)?;
        assert_eq!(connection.peer()?, to, "the application sees the peer it asked for");
    }
    capture.stop()?.only_tunnels()?;
    Ok(())
}

#[test]
fn plain_ipv6_clients_are_judged_too() -> Result<()> {
    let shop = Shop::open()?;
    assert_eq!(seen(&shop.plain.netns(), shop.web.at6(PORT))?, shop.plain.ip6());
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    wait_turned_down(&shop.plain.netns(), shop.web.at6(PORT))?;
    assert_eq!(seen(&shop.client.netns(), shop.service6)?, shop.client.ip6());
    Ok(())
}

/// The IPv6 form of an IPv4 address, which makes an AF_INET6 socket ask for it.
fn mapped(address: SocketAddr) -> Result<SocketAddr> {
    let IpAddr::V4(ip) = address.ip() else { bail!("{address} is not IPv4") };
    Ok(SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()))
}
