//! TCP to TCP, without a tunnel.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use super::buffers::{self, LARGEST, Size};
use super::{Progress, reset};

/// How a plain spliced connection broke.
#[derive(Debug, thiserror::Error)]
pub enum PlainSpliceError {
    /// The first connection.
    #[error("the first connection broke")]
    First(#[source] io::Error),
    /// The second connection.
    #[error("the second connection broke")]
    Second(#[source] io::Error),
}

/// Joins two TCP connections until both have ended. [`Progress::sent`] counts what went from the
/// first to the second.
///
/// # Errors
/// When either broke; the other one has been reset by then.
pub async fn splice_plain(
    first: TcpStream,
    second: TcpStream,
    progress: &Progress<'_>,
) -> Result<(), PlainSpliceError> {
    let mut joint = Joint { first, second, there: Relay::default(), back: Relay::default(), ended: false };
    poll_fn(|cx| joint.poll(cx, progress)).await
}

struct Joint {
    first: TcpStream,
    second: TcpStream,
    there: Relay,
    back: Relay,
    ended: bool,
}

impl Joint {
    fn poll(&mut self, cx: &mut Context<'_>, progress: &Progress<'_>) -> Poll<Result<(), PlainSpliceError>> {
        use PlainSpliceError::{First, Second};
        let there = self.there.poll(cx, &mut self.first, &mut self.second, |bytes| progress.add_sent(bytes));
        let there = there.map_err(|broke| broke.into_error(First, Second))?;
        let back = self.back.poll(cx, &mut self.second, &mut self.first, |bytes| progress.add_received(bytes));
        let back = back.map_err(|broke| broke.into_error(Second, First))?;
        self.ended = there.is_ready() && back.is_ready();
        if self.ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Drop for Joint {
    fn drop(&mut self) {
        if !self.ended {
            reset(&self.first);
            reset(&self.second);
        }
    }
}

/// Which end of a direction broke.
enum Broke {
    Reading(io::Error),
    Writing(io::Error),
}

impl Broke {
    fn into_error(
        self,
        from: impl FnOnce(io::Error) -> PlainSpliceError,
        to: impl FnOnce(io::Error) -> PlainSpliceError,
    ) -> PlainSpliceError {
        match self {
            Self::Reading(error) => from(error),
            Self::Writing(error) => to(error),
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Relay {
    size: Size,
    /// Read and not yet written.
    held: Bytes,
    read_end: bool,
    finished: bool,
}

impl Relay {
    /// Ready when `from` has ended and `to` knows.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        count: impl Fn(usize),
    ) -> Poll<Result<(), Broke>> {
        while !self.finished {
            if !self.held.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.held)).map_err(Broke::Writing)?;
                // What is split off is dropped, and with the last of it the hold on the buffer.
                drop(self.held.split_to(written));
                count(written);
            } else if self.read_end {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Broke::Writing)?;
                self.finished = true;
            } else {
                ready!(from.poll_read_ready(cx)).map_err(Broke::Reading)?;
                self.held = ready!(buffers::poll_read(cx, from, &mut self.size, LARGEST)).map_err(Broke::Reading)?;
                self.read_end = self.held.is_empty();
            }
        }
        Poll::Ready(Ok(()))
    }
}
