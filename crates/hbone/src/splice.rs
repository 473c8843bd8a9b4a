//! Joins two byte streams until both have ended: a TCP connection and a stream of a tunnel, or two
//! TCP connections.
//!
//! Both directions are polled in one future, so a connection is one task. An end of either side is
//! passed on as an end (FIN, `END_STREAM`), a break as a break (RST, `RST_STREAM`), and so is the
//! future being dropped before both ends have come: a connection that was cut never looks complete.
//!
//! A direction with nothing to carry holds no buffer. With something to carry it holds at most one
//! read ([`buffers::LARGEST`]) on a TCP side; towards a tunnel, [`crate::Settings::send_buffer`] and
//! what [`downlink::MAX_QUEUED`] and the stream's window allow.

mod buffers;
mod downlink;
mod plain;
mod progress;
mod uplink;

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

pub use self::plain::{PlainSpliceError, splice_plain};
pub use self::progress::Progress;

use self::downlink::Downlink;
use self::uplink::Uplink;
use crate::{Fault, ResetCode, TunnelStream};

/// How a spliced connection broke.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// The TCP side.
    #[error("the TCP connection broke")]
    Tcp(#[source] io::Error),
    /// The tunnel, or the stream in it.
    #[error("the tunnel's stream broke")]
    Tunnel(#[source] Fault),
}

/// Joins a TCP connection to a stream of a tunnel until both have ended. [`Progress::sent`] counts
/// what went into the tunnel.
///
/// # Errors
/// When either side broke; the other one has been reset by then.
pub async fn splice(tcp: TcpStream, stream: TunnelStream, progress: &Progress<'_>) -> Result<(), SpliceError> {
    let mut joint =
        Joint { tcp, stream, up: Uplink::default(), down: Downlink::default(), cut: Some(ResetCode::Cancel) };
    let result = poll_fn(|cx| joint.poll(cx, progress)).await;
    joint.cut = match &result {
        Ok(()) => None,
        Err(SpliceError::Tcp(_)) => Some(ResetCode::ConnectError),
        Err(SpliceError::Tunnel(_)) => Some(ResetCode::Cancel),
    };
    result
}

struct Joint {
    tcp: TcpStream,
    stream: TunnelStream,
    up: Uplink,
    down: Downlink,
    /// How to break both sides when dropped; `None` once both have ended.
    cut: Option<ResetCode>,
}

impl Joint {
    fn poll(&mut self, cx: &mut Context<'_>, progress: &Progress<'_>) -> Poll<Result<(), SpliceError>> {
        let up = self.up.poll(cx, &mut self.tcp, &mut self.stream, progress)?;
        let down = self.down.poll(cx, &mut self.tcp, &mut self.stream, progress)?;
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // While more data is awaited a reset shows as its error; else it must be asked for.
        if !self.down.awaits_data()
            && let Poll::Ready(fault) = self.stream.poll_reset(cx)
        {
            return Poll::Ready(Err(SpliceError::Tunnel(fault)));
        }
        Poll::Pending
    }
}

impl Drop for Joint {
    fn drop(&mut self) {
        if let Some(code) = self.cut {
            reset(&self.tcp);
            self.stream.abort(code);
        }
    }
}

/// Makes the socket's close a reset.
fn reset(tcp: &TcpStream) {
    if let Err(error) = tcp.set_zero_linger() {
        tracing::debug!(%error, "a connection could not be reset, it will be closed");
    }
}

#[cfg(test)]
mod tests;
