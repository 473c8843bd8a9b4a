//! What a tunnel allows: windows, frames, streams, times.

use std::time::Duration;

use crate::Keepalive;

/// What a tunnel allows. The figures are those of the implementations in the field (wire
/// compatibility does not depend on them, good throughput against them does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes a peer may send ahead on one stream.
    pub stream_window: u32,
    /// Bytes a peer may send ahead on all streams together. Several stream windows, or a few slow
    /// readers would stop every other stream.
    pub connection_window: u32,
    /// Largest frame a peer may send, in bytes.
    pub max_frame: u32,
    /// Streams open at once.
    pub max_streams: u32,
    /// Bytes a stream may have waiting for the transport.
    pub send_buffer: usize,
    /// Largest decoded header list, in bytes.
    pub max_header_list: u32,
    /// Longest wait for the peer's half of the HTTP/2 handshake.
    pub handshake_timeout: Duration,
    /// How a dead peer is noticed.
    pub keepalive: Keepalive,
}

impl Settings {
    /// For the side that opens streams.
    #[must_use]
    pub const fn client() -> Self {
        Self {
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            max_frame: 1 << 20,
            max_streams: 100,
            send_buffer: 512 << 10,
            max_header_list: 16 << 10,
            handshake_timeout: Duration::from_secs(10),
            keepalive: Keepalive { interval: Duration::from_secs(10), timeout: Duration::from_secs(20) },
        }
    }

    /// For the side that accepts streams: room for a client that counts more generously.
    #[must_use]
    pub const fn server() -> Self {
        Self { max_streams: 200, max_header_list: 64 << 10, ..Self::client() }
    }
}
