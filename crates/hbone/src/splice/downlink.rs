//! From a tunnel to TCP.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use super::{Progress, SpliceError};
use crate::TunnelStream;

/// Frames written at once.
const MAX_SLICES: usize = 32;
/// Bytes taken from the tunnel ahead of TCP. More would only move them from one queue to another: the
/// peer's window opens as they are written, not as they are taken.
pub(super) const MAX_QUEUED: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Downlink {
    queue: VecDeque<Bytes>,
    queued: usize,
    /// The tunnel has ended.
    ended: bool,
    /// TCP has been told.
    finished: bool,
}

impl Downlink {
    /// Ready when the tunnel's side has ended and TCP knows.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &mut TcpStream,
        stream: &mut TunnelStream,
        progress: &Progress<'_>,
    ) -> Poll<Result<(), SpliceError>> {
        while !self.finished {
            self.fill(cx, stream)?;
            if !self.queue.is_empty() {
                let written = ready!(self.write(cx, tcp)).map_err(SpliceError::Tcp)?;
                progress.add_received(written);
                stream.release(written).map_err(SpliceError::Tunnel)?;
            } else if self.ended {
                ready!(Pin::new(&mut *tcp).poll_shutdown(cx)).map_err(SpliceError::Tcp)?;
                self.finished = true;
            } else {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the last poll ended in asking the tunnel for more, so that its next event wakes us.
    pub(super) fn awaits_data(&self) -> bool {
        !self.ended && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.queue.len() < MAX_SLICES && self.queued < MAX_QUEUED
    }

    fn fill(&mut self, cx: &mut Context<'_>, stream: &mut TunnelStream) -> Result<(), SpliceError> {
        while self.awaits_data() {
            match stream.poll_data(cx) {
                Poll::Ready(Ok(Some(data))) => {
                    self.queued += data.len();
                    self.queue.push_back(data);
                }
                Poll::Ready(Ok(None)) => self.ended = true,
                Poll::Ready(Err(fault)) => return Err(SpliceError::Tunnel(fault)),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>, tcp: &mut TcpStream) -> Poll<std::io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        for (slice, data) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(data);
        }
        let used = slices.get(..self.queue.len()).unwrap_or(&slices);
        let written = ready!(Pin::new(tcp).poll_write_vectored(cx, used))?;
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(first) = self.queue.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queue.pop_front();
        }
    }
}
