//! The plumbing of a [`crate::World`], with iproute2 in batches: namespaces, links, routes.

mod machine;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Netns;
use crate::world::{Node, Pod};

pub use machine::Guest;

/// The interface between the nodes, by this name in both.
pub(crate) const LINK: &str = "link0";

/// The gateway every pod sees, as CNIs do it: the node's end of the pod's own link.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Makes the two nodes' namespaces and the link between them.
pub(crate) fn make_nodes(one: &Node, two: &Node) -> Result<()> {
    batch(None, &format!("netns add {}\nnetns add {}\n", one.netns_name(), two.netns_name()))?;
    for node in [one, two] {
        prepare(&node.netns(), true)?;
    }
    let (first, second) = (one.netns_name(), two.netns_name());
    batch(None, &format!("link add {LINK} netns {first} type veth peer name {LINK} netns {second}\n"))?;
    for (node, other) in [(one, two), (two, one)] {
        batch(Some(&node.netns_name()), &node_commands(node, other))?;
    }
    Ok(())
}

fn node_commands(node: &Node, other: &Node) -> String {
    format!(
        "link set lo up\n\
         link set {LINK} up\n\
         addr add {}/24 dev {LINK}\n\
         addr add {}/64 dev {LINK} nodad\n\
         route add {}/24 via {}\n\
         route add {}/64 via {}\n",
        node.ip4(),
        node.ip6(),
        other.pod_ip4(0),
        other.ip4(),
        other.pod_ip6(0),
        other.ip6(),
    )
}

/// Makes a pod's namespace and its link to its node.
pub(crate) fn make_pod(node: &Node, pod: &Pod) -> Result<()> {
    if let Some(guest) = pod.guest() {
        return machine::make(node, pod, guest);
    }
    let name = pod.netns_name();
    batch(None, &format!("netns add {name}\n"))?;
    prepare(&pod.netns(), false)?;
    let port = port(pod);
    let on_node = node.netns_name();
    batch(None, &format!("link add eth0 netns {name} type veth peer name {port} netns {on_node}\n"))?;
    let (ip4, ip6) = (pod.ip4(), pod.ip6());
    batch(
        Some(&on_node),
        &format!(
            "link set {port} up\n\
             addr add {GATEWAY_V4}/32 dev {port}\n\
             addr add {GATEWAY_V6}/64 dev {port} nodad\n\
             route add {ip4}/32 dev {port} src {}\n\
             route add {ip6}/128 dev {port} src {}\n",
            node.ip4(),
            node.ip6(),
        ),
    )?;
    batch(
        Some(&name),
        &format!(
            "link set lo up\n\
             link set eth0 up\n\
             addr add {ip4}/32 dev eth0\n\
             addr add {ip6}/128 dev eth0 nodad\n\
             route add {GATEWAY_V4}/32 dev eth0 scope link\n\
             route add default via {GATEWAY_V4} dev eth0 src {ip4}\n\
             route add default via {GATEWAY_V6} dev eth0 src {ip6}\n",
        ),
    )
}

/// Removes a pod's link, as a CNI does, then its namespace: others may hold that open for a while.
pub(crate) fn remove_pod(pod: &Pod) -> Result<()> {
    batch(Some(&pod.node().netns_name()), &format!("link del {}\n", port(pod)))?;
    batch(None, &format!("netns del {}\n", pod.netns_name()))
}

/// The node's end of a pod's link.
fn port(pod: &Pod) -> String {
    format!("pod{}", pod.index())
}

/// Removes namespaces, and with them their links and routes; those already gone are no failure.
pub(crate) fn remove<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut commands = String::new();
    for name in names {
        if Netns::named(name).path().exists() {
            writeln!(commands, "netns del {name}")?;
        }
    }
    if commands.is_empty() { Ok(()) } else { batch(None, &commands) }
}

/// Kernel settings that must stand before the first link: addresses are usable at once (no
/// duplicate address detection), and nodes forward.
fn prepare(netns: &Netns, forwards: bool) -> Result<()> {
    let mut settings = vec![
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/disable_ipv6", "0"),
    ];
    if forwards {
        settings.extend([("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]);
    }
    netns.run(|| {
        settings.into_iter().try_for_each(|(name, value)| {
            fs::write(format!("/proc/sys/net/{name}"), value).with_context(|| format!("set {name}"))
        })
    })?
}

fn batch(netns: Option<&str>, commands: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = netns {
        command.args(["-n", name]);
    }
    let mut ip = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start ip (package iproute2)")?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all(commands.as_bytes())?;
    }
    let output = ip.wait_with_output()?;
    ensure!(output.status.success(), "ip: {}, of:\n{commands}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
