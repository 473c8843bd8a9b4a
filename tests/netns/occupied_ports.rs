//! Applications that listen where the mesh does: they keep nobody out of it, and get nothing of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;

use anyhow::{Result, ensure};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt};

use ambit_tests::{Behaviour, Connection, Mesh, Netns, Outcome, Pod, PodSpec, Server, ask, knock, manifest, run};

use crate::shop::{PORT, Shop, seen, wait_captured};

/// The ports the mesh means in a pod, whoever is bound to them.
const IN_POD: [u16; 3] = [15001, 15006, 15008];

/// How often what must never happen is given the chance: a socket that shares a port gets every other
/// connection or so.
const ATTEMPTS: usize = 20;

#[test]
fn who_listens_before_the_enrolment_keeps_no_pod_out_and_gets_nothing() -> Result<()> {
    for how in How::ALL {
        let mut shop = Shop::closed()?;
        shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
        let squatters = squat_in(&[&shop.client, &shop.web], how)?;
        shop.mesh.start()?;
        check_all_is_the_agents(&mut shop, &squatters)?;
    }
    Ok(())
}

#[test]
fn who_listens_after_the_enrolment_gets_nothing() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    shop.mesh.start()?;
    for how in How::ALL {
        let squatters = squat_in(&[&shop.client, &shop.web], how)?;
        check_all_is_the_agents(&mut shop, &squatters)?;
    }
    Ok(())
}

#[test]
fn who_listens_in_the_place_of_a_dead_agent_gets_nothing() -> Result<()> {
    for how in How::ALL {
        let mut shop = Shop::open()?;
        let mut squatters = squat_in(&[&shop.client], how)?;
        for node in [1, 2] {
            shop.mesh.agent(node)?.process().kill()?;
        }
        squatters.extend(squat_in(&[&shop.web], how)?);
        for _ in 0..ATTEMPTS {
            for to in [shop.service, shop.service6, shop.web.at(PORT), shop.web.at6(PORT)] {
                assert_eq!(ask(&shop.client.netns(), to, "who")?, Outcome::Refused, "{how:?}: {to}");
            }
            for port in [&[PORT][..], &IN_POD].concat() {
                assert_eq!(ask(&shop.plain.netns(), shop.web.at(port), "who")?, Outcome::Refused, "{how:?}: {port}");
            }
        }
        assert!(!squatters.iter().any(Squatter::has_caught), "{how:?}");
        assert!(shop.server.peers().is_empty(), "{how:?}");

        shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
        for node in [1, 2] {
            shop.mesh.restart_agent(node)?;
        }
        check_all_is_the_agents(&mut shop, &squatters)?;
    }
    Ok(())
}

#[test]
fn nobody_gets_into_a_group_with_the_agents_own_listeners() -> Result<()> {
    let mut shop = Shop::closed()?;
    let netns = shop.client.netns();
    let before = listeners(&netns)?;
    shop.mesh.start()?;
    let agents: Vec<_> = listeners(&netns)?.difference(&before).copied().collect();
    assert!(!agents.is_empty());
    for own in agents {
        assert!(own.ip().is_loopback(), "{own}");
        for ip in [own.ip(), unspecified(own.ip())] {
            let address = SocketAddr::new(ip, own.port());
            assert!(Squatter::listen(&netns, address, true).is_err(), "{address}");
        }
    }
    Ok(())
}

#[test]
fn a_port_of_the_mesh_on_loopback_is_the_applications_own() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let _web = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
    let on_loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 15001);
    let _own = Server::start_at(&client.netns(), on_loopback, Behaviour::Say("own".to_owned()))?;
    mesh.start()?;
    assert_eq!(seen(&client.netns(), web.at(PORT))?, client.ip4());
    assert_eq!(ask(&client.netns(), on_loopback, "who")?, Outcome::Answered("own".to_owned()));
    mesh.agent(1)?.wait_access(|line| line.field("src.workload") == "client").map(drop)
}

/// The agent's end of a plaintext connection has the address and port that the client asked for: the
/// application's own, which it may want again while the connection is open, or not long over.
#[test]
fn an_application_gets_its_own_port_again_after_a_restart() -> Result<()> {
    let shop = Shop::open()?;
    let mut open = Connection::established(&shop.plain.netns(), shop.web.at(PORT))?;
    seen(&shop.plain.netns(), shop.web.at(PORT))?;
    drop(shop.server);
    let _again = Server::start_at(&shop.web.netns(), shop.web.at(PORT), Behaviour::Whoami)?;
    assert_eq!(seen(&shop.plain.netns(), shop.web.at(PORT))?, shop.plain.ip4());
    assert!(matches!(open.read(), Outcome::Closed | Outcome::Reset));
    Ok(())
}

/// In a STRICT mesh: captured connections and tunnels arrive, plaintext is turned down, and nobody
/// but the agents had any of it.
fn check_all_is_the_agents(shop: &mut Shop, squatters: &[Squatter]) -> Result<()> {
    wait_captured(shop.mesh.agent(1)?, &shop.client, shop.service)?;
    let capture = shop.mesh.world.capture()?;
    for _ in 0..ATTEMPTS {
        assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
        assert_eq!(seen(&shop.client.netns(), shop.service6)?, shop.client.ip6());
        for port in [&[PORT][..], &IN_POD].concat() {
            let outcome = knock(&shop.plain.netns(), shop.web.at(port), "who")?;
            assert!(outcome.is_turned_down(), "plaintext to port {port}: {outcome:?}");
        }
    }
    let traffic = capture.stop()?;
    assert!(traffic.streams_of(shop.web.ip4().into(), PORT).is_empty(), "it went past the tunnel");
    assert!(traffic.streams_of(shop.web.ip6().into(), PORT).is_empty(), "it went past the tunnel");
    assert!(!squatters.iter().any(Squatter::has_caught));
    let clients: [IpAddr; 2] = [shop.client.ip4().into(), shop.client.ip6().into()];
    assert!(shop.server.peers().iter().all(|peer| clients.contains(&peer.ip())), "{:?}", shop.server.peers());
    for node in [1, 2] {
        let (status, body) = shop.mesh.agent(node)?.readiness()?;
        ensure!(status == 200, "node {node}: {status} {body}");
    }
    Ok(())
}

/// How an application takes the ports of the mesh.
#[derive(Debug, Clone, Copy)]
struct How {
    /// At all addresses, not at the pod's.
    everywhere: bool,
    /// With `SO_REUSEPORT`, as root: as who wants to share the agent's.
    shares: bool,
}

impl How {
    const ALL: [Self; 4] = [
        Self { everywhere: false, shares: false },
        Self { everywhere: false, shares: true },
        Self { everywhere: true, shares: false },
        Self { everywhere: true, shares: true },
    ];
}

/// A socket that listens and never accepts: a client that it catches gets no answer.
struct Squatter {
    listener: TcpListener,
}

impl Squatter {
    fn listen(netns: &Netns, address: SocketAddr, shares: bool) -> Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = netns.run(|| socket::socket(family, SockType::Stream, flags, None))??;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        setsockopt(&socket, sockopt::ReusePort, &shares)?;
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
        socket::listen(&socket, Backlog::new(64)?)?;
        Ok(Self { listener: socket.into() })
    }

    fn has_caught(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

fn squat_in(pods: &[&Pod], how: How) -> Result<Vec<Squatter>> {
    let mut squatters = Vec::new();
    for pod in pods {
        for ip in [IpAddr::from(pod.ip4()), pod.ip6().into()] {
            let ip = if how.everywhere { unspecified(ip) } else { ip };
            for port in IN_POD {
                squatters.push(Squatter::listen(&pod.netns(), SocketAddr::new(ip, port), how.shares)?);
            }
        }
    }
    Ok(squatters)
}

fn unspecified(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Where somebody listens in a namespace; what is no plain address is left out.
fn listeners(netns: &Netns) -> Result<BTreeSet<SocketAddr>> {
    let sockets = run(netns.command("ss").args(["--no-header", "--numeric", "--listening", "--tcp"]))?;
    Ok(sockets.lines().filter_map(|line| line.split_whitespace().nth(3)?.parse().ok()).collect())
}
