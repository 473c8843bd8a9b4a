//! Addresses that say what they are addresses of. A bare `SocketAddr` never crosses a function
//! boundary on the data path: mixing up the peer and the destination is how proxies leak traffic.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SocketAddr);

        impl $name {
            /// Wraps an address; a v4-mapped IPv6 address becomes the IPv4 address it means.
            #[must_use]
            pub fn new(address: SocketAddr) -> Self {
                Self(canonical_socket(address))
            }
            /// The address itself.
            #[must_use]
            pub fn socket(self) -> SocketAddr {
                self.0
            }
            /// Its IP.
            #[must_use]
            pub fn ip(self) -> IpAddr {
                self.0.ip()
            }
            /// Its port.
            #[must_use]
            pub fn port(self) -> u16 {
                self.0.port()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

address!(
    /// The other end of an accepted connection.
    PeerAddr
);
address!(
    /// Where the application wanted to go before it was captured.
    OriginalDst
);
address!(
    /// Where we open a plain TCP connection to.
    UpstreamAddr
);
address!(
    /// The `:authority` of a tunnel: the address the connection is for, seen from inside the tunnel.
    TunnelTarget
);

/// `::ffff:a.b.c.d` as `a.b.c.d`; every other address as it is.
#[must_use]
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Whether an address can be somebody else's. Whoever connects to one that cannot reaches what only itself should: a
/// proxy its own admin page.
#[must_use]
pub fn is_elsewhere(ip: IpAddr) -> bool {
    let ip = canonical_ip(ip);
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

/// [`canonical_ip`] for a socket address.
#[must_use]
pub fn canonical_socket(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_ip(address.ip()), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_is_at_home() {
        for (ip, expected) in [
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("::ffff:127.8.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("fd00::1", true),
        ] {
            assert_eq!(is_elsewhere(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn mapped_addresses_become_v4() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().unwrap();
        assert_eq!(PeerAddr::new(mapped).to_string(), "10.0.0.1:80");
        let v6: SocketAddr = "[fd00::1]:80".parse().unwrap();
        assert_eq!(PeerAddr::new(v6).socket(), v6);
    }
}
