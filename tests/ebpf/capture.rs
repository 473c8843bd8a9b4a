//! What is captured and what is not, both ways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use ambit_tests::{Behaviour, Outcome, Server, ask, until};

use crate::kernel::{Kernel, PATIENCE};

#[test]
fn an_enrolled_pods_connection_arrives_at_the_agent_with_its_original_destination() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let (web4, web6) = (kernel.web.at(8080), kernel.web.at6(8080));
    let mapped = SocketAddr::new(kernel.web.ip4().to_ipv6_mapped().into(), 8080);
    for (asked, meant) in [(web4, web4), (web6, web6), (mapped, web4)] {
        let (app, agent) = kernel.captured(asked)?;
        assert_eq!(app.peer_addr()?, asked, "the application sees the peer it asked for");
        let (local, peer) = (agent.local_addr()?, agent.peer_addr()?);
        let own: IpAddr = if meant.is_ipv4() { kernel.pod.ip4().into() } else { kernel.pod.ip6().into() };
        assert_eq!(local, SocketAddr::new(own, 15001));
        assert_eq!(peer.ip(), own, "the application's own address is kept");
        let original = kernel.originals.take(kernel.cookie, peer.ip(), peer.port());
        assert_eq!(original, Some((meant.ip(), meant.port())));
        assert_eq!(kernel.originals.take(kernel.cookie, peer.ip(), peer.port()), None, "it is taken once");
    }
    kernel.check_no_faults()
}

#[test]
fn a_connection_to_the_capture_port_itself_has_no_original_destination() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let (_app, agent) = kernel.captured(kernel.pod.at(15001))?;
    let peer = agent.peer_addr()?;
    assert_eq!(kernel.originals.take(kernel.cookie, peer.ip(), peer.port()), None);
    Ok(())
}

#[test]
fn only_sockets_the_agent_named_leave_an_enrolled_pod_and_a_forged_mark_is_none() -> Result<()> {
    let kernel = Kernel::new()?;
    let web = Server::start(&kernel.web.netns(), 8080, Behaviour::Echo)?;
    let connect = |named: bool| -> Result<()> {
        let to = kernel.web.at(8080);
        kernel.pod.netns().run(|| -> Result<()> {
            let socket = ambit_sys::agent_socket(to.ip())?;
            socket.set_nonblocking(false)?;
            if named {
                kernel.node.agent_sockets()?.allow(socket.cookie()?)?;
            }
            Ok(socket.connect(&to.into())?)
        })?
    };
    connect(false)?;
    assert!(web.peers().is_empty(), "a process in the pod can mark its sockets too");
    connect(true)?;
    until("the agent's own socket at the server", PATIENCE, || (web.peers().len() == 1).then_some(()))?;
    Ok(())
}

#[test]
fn what_is_not_the_meshs_goes_out_untouched() -> Result<()> {
    let kernel = Kernel::new()?;
    let _elsewhere = Server::start(&kernel.plain.netns(), 8080, Behaviour::Echo)?;
    let _loopback = Server::start_at(&kernel.pod.netns(), (Ipv4Addr::LOCALHOST, 9000).into(), Behaviour::Echo)?;
    let _own = Server::start(&kernel.pod.netns(), 9001, Behaviour::Echo)?;
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9000);
    for to in [kernel.plain.at(8080), kernel.plain.at6(8080), loopback, kernel.pod.at(9001), kernel.pod.at6(9001)] {
        assert_eq!(ask(&kernel.pod.netns(), to, "direct")?.answer()?, "direct", "{to}");
    }
    kernel.check_no_faults()
}

#[test]
fn what_comes_to_the_pod_goes_to_the_agent_with_its_destination() -> Result<()> {
    let kernel = Kernel::new()?;
    let server = Server::start(&kernel.pod.netns(), 8080, Behaviour::Echo)?;
    for from in [&kernel.plain, &kernel.web] {
        for to in [kernel.pod.at(8080), kernel.pod.at6(8080), kernel.pod.at(1), kernel.pod.at(15006)] {
            let (app, agent) = kernel.intercepted(&from.netns(), to)?;
            assert_eq!(agent.local_addr()?, to, "the address asked for");
            assert_eq!(agent.peer_addr()?, app.local_addr()?, "the client's own address");
        }
    }
    assert!(server.peers().is_empty());
    kernel.check_no_faults()
}

#[test]
fn the_nodes_own_connections_reach_the_application() -> Result<()> {
    let kernel = Kernel::new()?;
    let server = Server::start(&kernel.pod.netns(), 8080, Behaviour::Whoami)?;
    for round in 0..20 {
        let node = kernel.world.node(1);
        let (to, own): (_, IpAddr) = if round % 2 == 0 {
            (kernel.pod.at(8080), node.ip4().into())
        } else {
            (kernel.pod.at6(8080), node.ip6().into())
        };
        let seen: SocketAddr = ask(&node.netns(), to, "who")?.answer()?.parse()?;
        assert_eq!(seen.ip(), own);
    }
    assert_eq!(server.peers().len(), 20);
    let foreign = kernel.world.node(2).netns();
    kernel.intercepted(&foreign, kernel.pod.at(8080))?;
    assert_eq!(server.peers().len(), 20, "another node's connection is captured");
    kernel.check_no_faults()
}

#[test]
fn without_an_agent_both_ways_are_refused() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let server = Server::start(&kernel.pod.netns(), 8080, Behaviour::Echo)?;
    kernel.agent = None;
    for to in [kernel.web.at(8080), kernel.web.at6(8080)] {
        assert_eq!(ask(&kernel.pod.netns(), to, "out")?, Outcome::Refused, "{to}");
    }
    for to in [kernel.pod.at(8080), kernel.pod.at6(8080)] {
        assert_eq!(ask(&kernel.plain.netns(), to, "in")?, Outcome::Refused, "{to}");
    }
    assert!(server.peers().is_empty());
    Ok(())
}
