//! From TCP into a tunnel.

use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::buffers::{self, Size};
use super::{Progress, SpliceError};
use crate::TunnelStream;

#[derive(Debug, Default)]
pub(super) struct Uplink {
    size: Size,
    ended: bool,
}

impl Uplink {
    /// Ready when the TCP side has ended and the tunnel knows.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &mut TcpStream,
        stream: &mut TunnelStream,
        progress: &Progress<'_>,
    ) -> Poll<Result<(), SpliceError>> {
        while !self.ended {
            // In this order, so that a connection without data claims neither window nor memory.
            ready!(tcp.poll_read_ready(cx)).map_err(SpliceError::Tcp)?;
            let room = ready!(stream.poll_room(cx, self.size.bytes())).map_err(SpliceError::Tunnel)?;
            let Poll::Ready(data) = buffers::poll_read(cx, tcp, &mut self.size, room) else {
                stream.give_up_room();
                return Poll::Pending;
            };
            let data = data.map_err(SpliceError::Tcp)?;
            if data.is_empty() {
                stream.send_end().map_err(SpliceError::Tunnel)?;
                self.ended = true;
            } else {
                progress.add_sent(data.len());
                stream.send(data).map_err(SpliceError::Tunnel)?;
                stream.give_up_room();
            }
        }
        Poll::Ready(Ok(()))
    }
}
