//! What the node itself asks a hostPort of its pod, as the kubelet's probes do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ambit_model::{Action, Authorization, Clause, HostPort, Match, NodePod, PolicyKey, Rule, Scope, StringMatch};
use ambit_xds::Entry;
use ambit_xds::proto::node::pod_report::State;
use anyhow::Result;

use ambit_tests::{Behaviour, Server, ask, until};

use super::fleet::{Fleet, running};
use crate::shop::{PATIENCE, PORT, wait_answered, wait_turned_down};

const HOST_PORT: u16 = 18080;
const OF_ONE_ADDRESS: u16 = 18081;

/// As a PeerAuthentication that is STRICT arrives.
fn strict() -> Authorization {
    let stranger = Match { not_principals: vec![StringMatch::Presence], ..Match::default() };
    Authorization {
        key: PolicyKey { namespace: "shop".into(), name: "strict".into() },
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![stranger] }] }],
        dry_run: false,
    }
}

#[test]
fn the_node_reaches_a_strict_pod_by_its_host_ports_and_nobody_else_does() -> Result<()> {
    let mut fleet = Fleet::new()?;
    let web = fleet.pod("web", 1)?;
    let _server = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
    fleet.control_plane.publish(Entry::authorization(&strict()));
    fleet.start()?;
    let [node, other] = fleet.world.nodes().clone();
    let port = |address, port| HostPort { address, port, pod_port: PORT };
    let host_ports = [port(None, HOST_PORT), port(Some(node.ip4().into()), OF_ONE_ADDRESS)];
    let workload = Arc::new(running(&web));
    let pod = |enrol| NodePod {
        workload: Arc::clone(&workload),
        pod_uid: "web".into(),
        enrol,
        netns: None,
        host_ports: host_ports.into(),
    };
    fleet.control_plane.put_workload(&workload);
    fleet.control_plane.publish(Entry::pod(&pod(true)));
    fleet.control_plane.wait_report("web", State::Enrolled)?;

    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    for address in [loopback, node.ip4().into(), node.ip6().into()] {
        wait_answered(&node.netns(), SocketAddr::new(address, HOST_PORT))?;
    }
    wait_answered(&node.netns(), SocketAddr::new(node.ip4().into(), OF_ONE_ADDRESS))?;
    // Nothing listens there, and nothing else leads there.
    for (from, to) in [
        (&node, SocketAddr::new(loopback, OF_ONE_ADDRESS)),
        (&node, SocketAddr::new(loopback, PORT)),
        (&other, SocketAddr::new(loopback, HOST_PORT)),
        (&other, SocketAddr::new(node.ip4().into(), HOST_PORT)),
    ] {
        assert!(ask(&from.netns(), to, "who")?.is_turned_down(), "{to} from {}", from.name());
    }
    wait_turned_down(&other.netns(), web.at(PORT))?;

    fleet.control_plane.publish(Entry::pod(&pod(false)));
    fleet.control_plane.wait_report("web", State::Released)?;
    until("the end of the way by the hostPort", PATIENCE, || {
        ask(&node.netns(), SocketAddr::new(loopback, HOST_PORT), "who").ok()?.is_turned_down().then_some(())
    })
}
