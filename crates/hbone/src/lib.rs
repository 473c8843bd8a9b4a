//! HBONE: byte streams in HTTP/2 CONNECT, many in one tunnel, over whatever byte stream the caller
//! brings (mutual TLS in production, a pipe in tests).
//!
//! Everything here runs on one single-threaded runtime inside a `LocalSet`: a tunnel, its streams,
//! their buffers and the pool that knows them never change thread, so nothing is locked and nothing
//! is shared. A process has as many of these worlds as it has workers.
//!
//! - [`connect`] makes a [`Tunnel`], [`Tunnel::open`] a [`TunnelStream`] in it; a [`Pool`] keeps tunnels.
//! - [`serve`] takes the other end and hands out each request as an [`IncomingConnect`].
//! - [`splice`] joins a TCP connection to a stream, [`splice_plain`] two TCP connections.
//!
//! The HTTP/2 codec is an implementation detail: none of its types is part of this interface.

pub mod authority;
pub mod baggage;
mod client;
mod client_principal;
mod fault;
pub mod forwarded;
mod keepalive;
mod outbox;
mod pool;
pub mod proxy_protocol;
mod server;
mod settings;
mod splice;
mod stream;
mod tally;
#[cfg(test)]
mod testing;
pub mod traceparent;

pub use authority::Authority;
pub use baggage::Baggage;
pub use client::{ConnectError, ConnectRequest, OpenError, Tunnel, connect};
pub use client_principal::{CLIENT_PRINCIPAL, ClientPrincipalError};
pub use fault::{Fault, ResetCode};
pub use forwarded::Forwarded;
pub use keepalive::Keepalive;
pub use pool::{Dialled, Pool, PoolError};
pub use proxy_protocol::ProxyHeader;
pub use server::{AcceptError, IncomingConnect, ServeError, serve};
pub use settings::Settings;
pub use splice::{PlainSpliceError, Progress, SpliceError, splice, splice_plain};
pub use stream::TunnelStream;
pub use tally::Counts;
pub use traceparent::TraceParent;
