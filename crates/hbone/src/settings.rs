//! What a tunnel allows: windows, frames, streams, times.

use std::time::Duration;

use crate::Keepalive;

/// What a tunnel allows. The figures are those of the implementations in the field, but for the windows
/// (wire compatibility does not depend on them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes a peer may send ahead on one stream.
    pub stream_window: u32,
    /// Bytes a peer may send ahead on all streams together. As much as all streams of a tunnel may hold,
    /// or slow readers, each with a full window, would stop every other stream of it.
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

/// Streams of a tunnel of ours, as in the implementations in the field.
const CLIENT_STREAMS: u32 = 100;

/// Enough for 8 Gbit/s at a round trip of half a millisecond; and a peer that sends what nobody reads fills
/// 50 MiB of ours with a whole tunnel.
const STREAM_WINDOW: u32 = 512 << 10;

impl Settings {
    /// For the side that opens streams.
    #[must_use]
    pub const fn client() -> Self {
        Self {
            stream_window: STREAM_WINDOW,
            connection_window: CLIENT_STREAMS * STREAM_WINDOW,
            max_frame: 1 << 20,
            max_streams: CLIENT_STREAMS,
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
