//! Ports of the node that lead to an enrolled pod.

use std::collections::HashMap;
use std::net::SocketAddr;

use ambit_ebpf_types::Destination;
use aya::maps::HashMap as BpfHashMap;

use crate::maps::{MapFault, Wire, ip};
use crate::node::{Node, absent_is_fine, fault};

impl Node {
    /// Makes `HOST_PORTS` hold exactly `wanted`: by what the node's programs ask for, the pod behind it.
    pub fn set_host_ports(&mut self, wanted: &HashMap<SocketAddr, SocketAddr>) -> Result<(), MapFault> {
        let mut map: BpfHashMap<_, Wire<Destination>, Wire<Destination>> =
            BpfHashMap::try_from(self.map_mut("HOST_PORTS")?).map_err(fault("HOST_PORTS", "open"))?;
        let wanted: HashMap<_, _> =
            wanted.iter().map(|(asked, pod)| (destination(*asked), destination(*pod))).collect();
        let held: Vec<_> = map.keys().collect::<Result<_, _>>().map_err(fault("HOST_PORTS", "read"))?;
        for key in held.iter().filter(|Wire(asked)| !wanted.contains_key(asked)) {
            absent_is_fine(map.remove(key)).map_err(fault("HOST_PORTS", "remove"))?;
        }
        for (asked, pod) in wanted {
            map.insert(Wire(asked), Wire(pod), 0).map_err(fault("HOST_PORTS", "insert"))?;
        }
        Ok(())
    }
}

fn destination(address: SocketAddr) -> Destination {
    Destination { ip: ip(address.ip()), port: address.port(), pad: [0; 2] }
}
