//! The agent's sockets. All of them carry [`AGENT_MARK`], by which the kernel programs know the agent's
//! own last hop inside a pod. Call these inside the pod's namespace
//! ([`crate::NetNs::run`]).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// `SO_MARK` of every socket of the agent, under [`AGENT_MARK_MASK`]; the mark ambient meshes use.
pub const AGENT_MARK: u32 = 0x539;
/// The bits of the mark that say "the agent's".
pub const AGENT_MARK_MASK: u32 = 0xfff;
/// `SO_MARK` of sockets that connect as somebody else: the agent's, and one bit more, by which replies
/// are routed back to them. Without that bit of its own, the agent's tunnels would be routed so too.
pub const TRANSPARENT_MARK: u32 = AGENT_MARK | 0x1000;

/// Pending connections of a listener. The kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A half-dead peer is noticed after about half an hour, as the field's node proxies do.
const KEEPALIVE: Duration = Duration::from_secs(180);
const KEEPALIVE_PROBES: u32 = 9;

/// A listener for connections of a family that the kernel programs steer to it. It is bound to loopback and
/// a port of the kernel's choice, so that it takes no application's port and nobody takes its own.
pub fn agent_listener(family: IpAddr) -> io::Result<std::net::TcpListener> {
    let socket = marked(family)?;
    let loopback: IpAddr = if family.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    socket.bind(&SocketAddr::new(loopback, 0).into())?;
    socket.listen(BACKLOG)?;
    // For the accepted sockets, which inherit it: they have the application's address and port, which it
    // must be able to bind again after a restart. Set this late it lets nobody share the listener's own.
    socket.set_reuse_address(true)?;
    Ok(socket.into())
}

/// The same for the connections of a virtual machine, whose other ends have addresses of others than this
/// namespace.
pub fn guest_listener(family: IpAddr) -> io::Result<std::net::TcpListener> {
    let listener = agent_listener(family)?;
    set_transparent(&SockRef::from(&listener), family)?;
    Ok(listener)
}

/// A socket to connect to `to` with, from the namespace's own address.
pub fn agent_socket(to: IpAddr) -> io::Result<Socket> {
    marked(to)
}

/// A socket to connect with as `source`, whose address is not one of this namespace. Replies find
/// back by their mark (see the pod's routing rule).
pub fn transparent_socket(source: IpAddr) -> io::Result<Socket> {
    let socket = guest_socket(source)?;
    socket.set_mark(TRANSPARENT_MARK)?;
    Ok(socket)
}

/// A socket to connect with as `source` in the namespace of a virtual machine, either way: as the guest, or
/// to it as its client. What comes back is brought to it by the kernel programs, not by its mark.
pub fn guest_socket(source: IpAddr) -> io::Result<Socket> {
    let socket = marked(source)?;
    set_transparent(&socket, source)?;
    // The port is chosen at connect, by the whole 4-tuple: else 28,000 clients of one address would
    // be all that a pod can have.
    set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    Ok(socket)
}

fn marked(family: IpAddr) -> io::Result<Socket> {
    let domain = if family.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_mark(AGENT_MARK)?;
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    Ok(socket)
}

fn set_transparent(socket: &Socket, family: IpAddr) -> io::Result<()> {
    if family.is_ipv4() {
        socket.set_ip_transparent_v4(true)
    } else {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1)
    }
}

fn set_int(socket: &Socket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a live local of the size given.
    #[expect(unsafe_code, reason = "socket2 lacks these two options")]
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
