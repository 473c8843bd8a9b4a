//! A virtual machine's plumbing: the namespace its node knows forwards between `eth0`, the link to the
//! node, and `tap0`, behind which the guest has the pod's addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{GATEWAY_V4, GATEWAY_V6, batch, port, prepare};
use crate::world::{Node, Pod};

/// The machine's namespace as its node sees it.
const OUTER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
const OUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// The gateway that the guest sees.
const TAP_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 2, 1);
const TAP_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

/// What a virtual machine is, in a world: a guest behind an interface of the pod's namespace, `tap0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// A namespace at the other end of the interface. To the kernel its packets are like a machine's.
    Namespace,
    /// The interface is a tap that nobody has opened yet.
    Tap,
}

/// Makes the namespace around a guest with its links, and where the guest is one the guest's own.
pub(crate) fn make(node: &Node, pod: &Pod, guest: Guest) -> Result<()> {
    let outer = pod.outer_netns_name();
    batch(None, &format!("netns add {outer}\n"))?;
    prepare(&pod.outer_netns(), true)?;
    let (port, on_node) = (port(pod), node.netns_name());
    batch(None, &format!("link add eth0 netns {outer} type veth peer name {port} netns {on_node}\n"))?;
    batch(Some(&on_node), &node_commands(node, pod))?;
    match guest {
        Guest::Tap => batch(Some(&outer), "tuntap add dev tap0 mode tap\n")?,
        Guest::Namespace => {
            let inner = pod.netns_name();
            batch(None, &format!("netns add {inner}\n"))?;
            prepare(&pod.netns(), false)?;
            batch(None, &format!("link add tap0 netns {outer} type veth peer name eth0 netns {inner}\n"))?;
            batch(Some(&inner), &guest_commands(pod))?;
        }
    }
    batch(Some(&outer), &outer_commands(pod))
}

fn node_commands(node: &Node, pod: &Pod) -> String {
    let (port, ip4, ip6) = (port(pod), pod.ip4(), pod.ip6());
    format!(
        "link set {port} up\n\
         addr add {GATEWAY_V4}/32 dev {port}\n\
         addr add {GATEWAY_V6}/64 dev {port} nodad\n\
         route add {ip4}/32 via {OUTER_V4} dev {port} onlink src {}\n\
         route add {ip6}/128 via {OUTER_V6} dev {port} src {}\n",
        node.ip4(),
        node.ip6(),
    )
}

fn outer_commands(pod: &Pod) -> String {
    let (ip4, ip6) = (pod.ip4(), pod.ip6());
    format!(
        "link set lo up\n\
         link set eth0 up\n\
         link set tap0 up\n\
         addr add {OUTER_V4}/32 dev eth0\n\
         addr add {OUTER_V6}/64 dev eth0 nodad\n\
         addr add {TAP_V4}/32 dev tap0\n\
         addr add {TAP_V6}/64 dev tap0 nodad\n\
         route add {GATEWAY_V4}/32 dev eth0 scope link\n\
         route add default via {GATEWAY_V4} dev eth0\n\
         route add default via {GATEWAY_V6} dev eth0\n\
         route add {ip4}/32 dev tap0\n\
         route add {ip6}/128 dev tap0\n"
    )
}

fn guest_commands(pod: &Pod) -> String {
    let (ip4, ip6) = (pod.ip4(), pod.ip6());
    format!(
        "link set lo up\n\
         link set eth0 up\n\
         addr add {ip4}/32 dev eth0\n\
         addr add {ip6}/128 dev eth0 nodad\n\
         route add {TAP_V4}/32 dev eth0 scope link\n\
         route add default via {TAP_V4} dev eth0 src {ip4}\n\
         route add default via {TAP_V6} dev eth0 src {ip6}\n"
    )
}
