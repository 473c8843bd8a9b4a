//! hostPorts of captured pods. The kubelet's probes may come by them, and the node's portmap would then
//! translate their addresses on the way, so that nobody could tell them from a neighbour's connections: the
//! kernel programs lead what the node itself asks a hostPort to the pod, as a probe by the pod's own address.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ambit_model::HostPort;

use super::Enrolment;
use crate::failure::error_chain;
use crate::netns_finder::addresses_here;
use crate::outlet::LocalPod;

/// What is asked for, and who is behind it.
pub(super) type Ways = HashMap<SocketAddr, SocketAddr>;

impl Enrolment {
    /// Has the kernel know the hostPorts of the pods that are captured. Without that only probes by them fail.
    pub(super) fn tell_host_ports(&mut self, pods: &[LocalPod]) {
        let captured = pods.iter().filter(|pod| !pod.host_ports.is_empty()).filter_map(|pod| {
            let enrolled = self.enrolled.get(&pod.uid).filter(|enrolled| enrolled.wanted.pod_uid == pod.pod_uid)?;
            Some((&*pod.host_ports, &*enrolled.pod.addresses))
        });
        let captured: Vec<_> = captured.collect();
        // What an earlier agent told holds until its pods are this one's.
        if captured.is_empty() && !self.inherited.is_empty() {
            return;
        }
        let host_ports = if captured.is_empty() { Ways::new() } else { ways(&captured, &of_node()) };
        if self.host_ports.as_ref() == Some(&host_ports) {
            return;
        }
        match self.node.set_host_ports(&host_ports) {
            Ok(()) => self.host_ports = Some(host_ports),
            Err(error) => {
                tracing::error!(reason = error_chain(&error), "probes by hostPort may be refused");
                self.host_ports = None;
            }
        }
    }
}

/// The node's addresses by which a hostPort is reached: of loopback's, IPv4's only, as with portmap.
fn of_node() -> HashSet<IpAddr> {
    let mut addresses = addresses_here().unwrap_or_default();
    addresses.insert(Ipv4Addr::LOCALHOST.into());
    addresses
}

fn ways(pods: &[(&[HostPort], &[IpAddr])], node: &HashSet<IpAddr>) -> Ways {
    let mut ways = Ways::new();
    for (host_ports, addresses) in pods {
        for HostPort { address, port, pod_port } in *host_ports {
            for asked in node.iter().filter(|asked| address.is_none_or(|address| address == **asked)) {
                let pod = addresses.iter().find(|pod| pod.is_ipv4() == asked.is_ipv4());
                ways.extend(pod.map(|pod| (SocketAddr::new(*asked, *port), SocketAddr::new(*pod, *pod_port))));
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_port_is_reached_by_the_nodes_addresses_of_the_pods_families() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let node = HashSet::from(["127.0.0.1", "10.0.0.1", "fd00::1"].map(ip));
        for (address, pod, expected) in [
            (None, &["10.1.0.2"][..], &["10.0.0.1:80 10.1.0.2:8080", "127.0.0.1:80 10.1.0.2:8080"][..]),
            (None, &["fd01::2"], &["[fd00::1]:80 [fd01::2]:8080"]),
            (Some("127.0.0.1"), &["10.1.0.2", "fd01::2"], &["127.0.0.1:80 10.1.0.2:8080"]),
            (Some("fd00::1"), &["10.1.0.2", "fd01::2"], &["[fd00::1]:80 [fd01::2]:8080"]),
            (Some("fd00::1"), &["10.1.0.2"], &[]),
            (Some("192.0.2.1"), &["10.1.0.2"], &[]),
        ] {
            let port = HostPort { address: address.map(ip), port: 80, pod_port: 8080 };
            let pod: Vec<_> = pod.iter().copied().map(ip).collect();
            let ways = ways(&[(&[port], &pod)], &node);
            let mut ways: Vec<_> = ways.iter().map(|(asked, pod)| format!("{asked} {pod}")).collect();
            ways.sort();
            assert_eq!(ways, expected, "{address:?} {pod:?}");
        }
    }
}
