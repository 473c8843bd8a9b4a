//! The link between control plane and nodes: a bridge on this machine, a network namespace a member,
//! and plain routes to the pods of each node, dual stack.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::layout::{BRIDGE, Member, NODES, Node};
use crate::command::{self, program};

/// The machine's own addresses on the bridge.
const MACHINE: [&str; 2] = ["10.243.0.1", "fd00:243::1"];

/// Makes the bridge and the control plane's namespace, where they are missing.
pub(super) fn make() -> Result<()> {
    if !link_exists(BRIDGE) {
        let [machine4, machine6] = MACHINE;
        let mut lines = vec![
            format!("link add {BRIDGE} type bridge"),
            format!("addr add {machine4}/24 dev {BRIDGE}"),
            format!("addr add {machine6}/64 dev {BRIDGE} nodad"),
            format!("link set {BRIDGE} up"),
        ];
        lines.extend(NODES.into_iter().flat_map(routes_to_pods));
        ip(None, &lines)?;
    }
    join(Member::ControlPlane)
}

/// Makes a member's namespace, if it is missing, and links it to the bridge.
pub(super) fn join(member: Member) -> Result<()> {
    if member.netns().path().exists() {
        return Ok(());
    }
    let name = member.netns_name();
    let outside = [
        format!("netns add {name}"),
        format!("link add {name} type veth peer name eth0 netns {name}"),
        format!("link set {name} master {BRIDGE} up"),
    ];
    ip(None, &outside)?;
    let [machine4, machine6] = MACHINE;
    let mut inside = vec![
        format!("addr add {}/24 dev eth0", member.ip4()),
        format!("addr add {}/64 dev eth0 nodad", member.ip6()),
        "link set lo up".to_owned(),
        "link set eth0 up".to_owned(),
        format!("route add default via {machine4}"),
        format!("-6 route add default via {machine6}"),
    ];
    let others = NODES.into_iter().filter(|node| node.member().ip4() != member.ip4());
    inside.extend(others.flat_map(routes_to_pods));
    ip(Some(&name), &inside)?;
    for family in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let forward = || fs::write(format!("/proc/sys/net/{family}"), "1");
        member.netns().run(forward)?.with_context(|| format!("setting {family} in {name}"))?;
    }
    Ok(())
}

/// Takes a member's namespace away. The link first: with the namespace it would go a little later.
pub(super) fn leave(member: Member) -> Result<()> {
    let name = member.netns_name();
    if link_exists(&name) {
        ip(None, &[format!("link del {name}")])?;
    }
    if member.netns().path().exists() {
        ip(None, &[format!("netns del {name}")])?;
    }
    Ok(())
}

/// Takes the bridge and all members' namespaces away; the machine's routes go with it.
pub(super) fn remove() -> Result<()> {
    NODES.into_iter().map(Node::member).chain([Member::ControlPlane]).try_for_each(leave)?;
    if link_exists(BRIDGE) {
        ip(None, &[format!("link del {BRIDGE}")])?;
    }
    Ok(())
}

fn routes_to_pods(node: Node) -> [String; 2] {
    let ([pods4, pods6], member) = (node.pods(), node.member());
    [format!("route add {pods4} via {}", member.ip4()), format!("-6 route add {pods6} via {}", member.ip6())]
}

fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Has iproute2 do each of `lines`, in the named namespace or in this one.
fn ip(netns: Option<&str>, lines: &[String]) -> Result<()> {
    lines.iter().try_for_each(|line| {
        let mut ip = program("ip");
        if let Some(name) = netns {
            ip.args(["-netns", name]);
        }
        command::run(ip.args(line.split_whitespace()))
    })
}
