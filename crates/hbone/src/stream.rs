//! One stream of a tunnel: a byte stream each way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tally::Slot;
use crate::{Fault, ResetCode};

/// Most bytes sent in one frame. With the frame's header of 9 bytes that is two whole TLS records; the
/// receiver, which collects a frame before it passes it on, copies less than with larger ones, and
/// smaller ones cost a write each (measured from 16 KiB to 256 KiB).
const MAX_FRAME: usize = 2 * 16_384 - 9;

/// A byte stream in a tunnel. Dropped before both sides have ended it, it is reset: a connection
/// that was cut never looks complete.
///
/// [`AsyncRead`] and [`AsyncWrite`] copy; [`crate::splice`] does not.
#[derive(Debug)]
pub struct TunnelStream {
    send: SendStream<Bytes>,
    recv: RecvStream,
    /// Received bytes that a short read left over, not yet given back to the peer's window.
    unread: Bytes,
    sent_end: bool,
    received_end: bool,
    _slot: Slot,
}

impl TunnelStream {
    pub(crate) fn new(send: SendStream<Bytes>, recv: RecvStream, slot: Slot) -> Self {
        Self { send, recv, unread: Bytes::new(), sent_end: false, received_end: false, _slot: slot }
    }

    /// Ends the stream at once, both ways, as broken.
    pub fn reset(mut self, code: ResetCode) {
        self.abort(code);
    }

    /// [`Self::reset`] for an owner that is being dropped itself.
    pub(crate) fn abort(&mut self, code: ResetCode) {
        if !(self.sent_end && self.received_end) {
            self.send.send_reset(code.into());
        }
        (self.sent_end, self.received_end) = (true, true);
    }

    /// The next bytes, or `None` at their end. Each must be given back by [`Self::release`] once it
    /// has been passed on: until then the peer's window stays that much smaller.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        match ready!(self.recv.poll_data(cx)) {
            Some(data) => Poll::Ready(Ok(Some(data?))),
            None => {
                self.received_end = true;
                Poll::Ready(Ok(None))
            }
        }
    }

    /// Lets the peer send as many bytes more.
    pub(crate) fn release(&mut self, length: usize) -> Result<(), Fault> {
        Ok(self.recv.flow_control().release_capacity(length)?)
    }

    /// How much may be sent now, at most `wanted`, at least one byte. What was granted stays granted
    /// until it is sent or given up with [`Self::give_up_room`].
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Fault>> {
        self.send.reserve_capacity(wanted);
        let mut room = self.send.capacity();
        while room == 0 {
            room = match ready!(self.send.poll_capacity(cx)) {
                Some(room) => room?,
                None => return self.poll_reset(cx).map(Err),
            };
        }
        Poll::Ready(Ok(room.min(wanted)))
    }

    /// Returns granted room, which otherwise other streams of the tunnel would miss.
    pub(crate) fn give_up_room(&mut self) {
        self.send.reserve_capacity(0);
    }

    /// Queues bytes for which there is room.
    pub(crate) fn send(&mut self, mut data: Bytes) -> Result<(), Fault> {
        while data.len() > MAX_FRAME {
            self.send.send_data(data.split_to(MAX_FRAME), false)?;
        }
        Ok(self.send.send_data(data, false)?)
    }

    /// Says that no bytes will follow.
    pub(crate) fn send_end(&mut self) -> Result<(), Fault> {
        if !self.sent_end {
            self.send.send_data(Bytes::new(), true)?;
            self.sent_end = true;
        }
        Ok(())
    }

    /// Waits for the peer, or the tunnel's end, to break the stream.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        self.send.poll_reset(cx).map(|reset| match reset {
            Ok(reason) => Fault::reset(reason),
            Err(error) => error.into(),
        })
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        self.abort(ResetCode::Cancel);
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            match ready!(this.poll_data(cx)).map_err(broken)? {
                Some(data) => this.unread = data,
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = this.unread.split_to(this.unread.remaining().min(into.remaining()));
        into.put_slice(&taken);
        Poll::Ready(this.release(taken.len()).map_err(broken))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// All parts become one frame.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let this = self.get_mut();
        let room = ready!(this.poll_room(cx, length.min(MAX_FRAME))).map_err(broken)?;
        let mut frame = BytesMut::with_capacity(room);
        for part in parts {
            let left = room - frame.len();
            frame.extend_from_slice(part.get(..left).unwrap_or(part));
        }
        this.send(frame.freeze()).map_err(broken)?;
        this.give_up_room();
        Poll::Ready(Ok(room))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().send_end().map_err(broken))
    }
}

fn broken(fault: Fault) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, fault)
}
