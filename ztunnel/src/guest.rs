//! Where in its network namespace a workload is. A process has the namespace's own address. A virtual
//! machine does not: its address lies behind an interface of the namespace (a tap), to which the namespace
//! passes its packets on. No setting says which it is; addresses and routes do.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ambit_ebpf_loader::{Interface, Side};
use ambit_sys::{NetNs, NetNsError};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nameindex;

/// Where a workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seat {
    /// In the namespace: it has one of its addresses.
    Inside,
    /// Behind the interface named: these are all of the namespace.
    Guest(Vec<Interface>),
    /// Nowhere yet: its address is neither there nor routed to.
    Unknown,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeatError {
    /// Its namespace.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The namespace's interfaces and their addresses.
    #[error("cannot read the interfaces of its network namespace")]
    Interfaces(#[source] nix::Error),
    /// The namespace's routes.
    #[error("cannot read the routes of its network namespace")]
    Routes(#[source] io::Error),
    /// Two ways into one guest: nothing says which packets are its own.
    #[error("its addresses are behind two interfaces of its network namespace, {one} and {other}")]
    TwoInterfaces {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// Guest and outside on one link.
    #[error(
        "its address is behind {interface}, by which its network namespace itself reaches others: a virtual machine \
         must have an interface of its own, and a route to it"
    )]
    SharedInterface {
        /// Which.
        interface: String,
    },
}

impl Seat {
    /// Looks for the workload with these addresses.
    pub(crate) fn find(netns: &NetNs, addresses: &[IpAddr]) -> Result<Self, SeatError> {
        netns.run(|| find_here(addresses))?
    }

    /// The namespace's interfaces where there is a guest behind one of them.
    pub(crate) fn interfaces(&self) -> &[Interface] {
        match self {
            Self::Guest(interfaces) => interfaces,
            Self::Inside | Self::Unknown => &[],
        }
    }
}

fn find_here(addresses: &[IpAddr]) -> Result<Seat, SeatError> {
    let own = getifaddrs().map_err(SeatError::Interfaces)?;
    if own.filter_map(|found| ip(found.address.as_ref()?)).any(|address| addresses.contains(&address)) {
        return Ok(Seat::Inside);
    }
    let routes = routes().map_err(SeatError::Routes)?;
    let Some(guests) = interface_of(&routes, addresses)? else { return Ok(Seat::Unknown) };
    let all = if_nameindex().map_err(SeatError::Interfaces)?;
    let interfaces = all
        .iter()
        .map(|found| (found.name().to_string_lossy().into_owned(), found.index()))
        .filter(|(name, _)| name != "lo")
        .map(|(name, index)| Interface { side: if name == guests { Side::Guest } else { Side::Outside }, name, index });
    Ok(Seat::Guest(interfaces.collect()))
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// A route of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    network: IpAddr,
    prefix: u8,
    interface: String,
}

impl Route {
    fn covers(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The interface behind which the addresses are; none if only default routes lead to them.
fn interface_of<'a>(routes: &'a [Route], addresses: &[IpAddr]) -> Result<Option<&'a str>, SeatError> {
    let to = |address: IpAddr| {
        let most_specific = routes.iter().filter(|route| route.covers(address)).max_by_key(|route| route.prefix);
        most_specific.filter(|route| route.prefix > 0).map(|route| &*route.interface)
    };
    let mut found = addresses.iter().filter_map(|address| to(*address));
    let Some(interface) = found.next() else { return Ok(None) };
    if let Some(other) = found.find(|other| *other != interface) {
        return Err(SeatError::TwoInterfaces { one: interface.to_owned(), other: other.to_owned() });
    }
    if routes.iter().any(|route| route.prefix == 0 && route.interface == interface) {
        return Err(SeatError::SharedInterface { interface: interface.to_owned() });
    }
    Ok(Some(interface))
}

/// The routes of this thread's namespace. Not `/proc/net`, which shows those of the process.
fn routes() -> io::Result<Vec<Route>> {
    let v4 = fs::read_to_string("/proc/thread-self/net/route")?;
    // Missing where the kernel has no IPv6.
    let v6 = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    Ok(v4.lines().skip(1).filter_map(v4_route).chain(v6.lines().filter_map(v6_route)).collect())
}

/// `eth0 00000000 0101FEA9 0003 0 0 0 00000000 ...`: interface, destination, gateway, flags, references,
/// use, metric, mask; addresses as the machine holds them in memory.
fn v4_route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let bits = |text: &&str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let (network, mask) = (bits(fields.get(1)?)?, bits(fields.get(7)?)?);
    let prefix = u8::try_from(mask.count_ones()).ok()?;
    Some(Route { network: Ipv4Addr::from_bits(network).into(), prefix, interface: (*fields.first()?).to_owned() })
}

/// `fd00...01 80 00...00 00 00...00 00000400 00000001 00000000 00000001 eth0`: destination, its prefix,
/// source, its prefix, gateway, metric, references, use, flags, interface.
fn v6_route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let network = u128::from_str_radix(fields.first()?, 16).ok()?;
    let prefix = u8::from_str_radix(fields.get(1)?, 16).ok()?;
    let interface = *fields.get(9)?;
    // Routes to nowhere are written as routes to loopback.
    (interface != "lo").then(|| Route {
        network: Ipv6Addr::from_bits(network).into(),
        prefix,
        interface: interface.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: [&str; 4] = [
        "eth0\t00000000\t0101FEA9\t0003\t0\t0\t0\t00000000\t0\t0\t0",
        "eth0\t0101FEA9\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0",
        "tap0\t0202650A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0",
        "not a route",
    ];
    const ROUTES_V6: [&str; 3] = [
        "fd000101000200000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00000001     tap0",
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0",
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo",
    ];

    fn routes() -> Vec<Route> {
        ROUTES
            .iter()
            .filter_map(|line| v4_route(line))
            .chain(ROUTES_V6.iter().filter_map(|line| v6_route(line)))
            .collect()
    }

    #[test]
    fn a_guest_is_behind_the_interface_with_the_most_specific_route() {
        let behind = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            interface_of(&routes(), &addresses).map(|found| found.map(str::to_owned)).map_err(|error| error.to_string())
        };
        assert_eq!(routes().len(), 5);
        assert_eq!(behind(&["10.101.2.2"]), Ok(Some("tap0".to_owned())));
        assert_eq!(behind(&["10.101.2.2", "fd00:101:2::2"]), Ok(Some("tap0".to_owned())));
        assert_eq!(behind(&["10.101.2.3", "fd00:101:2::3"]), Ok(None), "only default routes lead there");
        assert!(behind(&["169.254.1.1"]).unwrap_err().contains("eth0"), "where everybody else is");
        assert!(behind(&["10.101.2.2", "169.254.1.1"]).unwrap_err().contains("tap0 and eth0"));
    }
}
