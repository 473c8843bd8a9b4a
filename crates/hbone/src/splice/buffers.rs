//! Read buffers: taken when a socket is readable, given back after one read. Free ones wait per
//! thread, so an idle connection holds none and a busy one reuses warm memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{array, io};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Sizes a direction grows through, in bytes. The largest is what one `read` of a bulk transfer can
/// usefully bring at once.
const SIZES: [usize; 3] = [16 << 10, 64 << 10, 256 << 10];
/// The largest of them.
pub(super) const LARGEST: usize = 256 << 10;
/// Free buffers kept per size: with the sizes above at most 2.7 MB a worker.
const MAX_FREE: usize = 8;
/// A read that fills less than this part of its buffer is copied out of it, so that a few bytes held
/// up by a slow peer never pin a whole buffer.
const MIN_SHARE: usize = 8;

thread_local! {
    static FREE: RefCell<[VecDeque<BytesMut>; SIZES.len()]> = RefCell::new(array::from_fn(|_| VecDeque::new()));
}

/// How large a direction's next buffer is: doubled twice while reads fill it, small again as soon as
/// one brings little.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size(usize);

impl Size {
    /// In bytes.
    pub(super) fn bytes(self) -> usize {
        SIZES.get(self.0).copied().unwrap_or(LARGEST)
    }

    /// Learns from a read.
    fn adapt(&mut self, read: usize, room: usize) {
        if read < self.bytes() / MIN_SHARE {
            self.0 = 0;
        } else if read == room && self.0 + 1 < SIZES.len() {
            self.0 += 1;
        }
    }
}

/// Reads what is there, at most `room` bytes; empty at the end of the stream. The socket should be
/// known to be readable, else a buffer is taken for nothing.
pub(super) fn poll_read(
    cx: &mut Context<'_>,
    tcp: &mut TcpStream,
    size: &mut Size,
    room: usize,
) -> Poll<io::Result<Bytes>> {
    let class = size.0;
    let mut buffer = take(class, size.bytes());
    let mut limited = bytes::BufMut::limit(&mut buffer, room.min(size.bytes()));
    let result = poll_read_buf(Pin::new(tcp), cx, &mut limited);
    let data =
        if buffer.len() < size.bytes() / MIN_SHARE { Bytes::copy_from_slice(&buffer) } else { buffer.split().freeze() };
    give(class, buffer);
    let read = ready!(result)?;
    size.adapt(read, room.min(size.bytes()));
    Poll::Ready(Ok(data))
}

/// A free buffer whose bytes nobody holds any more, or a new one.
fn take(class: usize, size: usize) -> BytesMut {
    FREE.with_borrow_mut(|free| {
        let buffer = free.get_mut(class).and_then(VecDeque::pop_front);
        // Reclaims nothing while the bytes of an earlier read are still under way.
        buffer
            .and_then(|mut buffer| buffer.try_reclaim(size).then_some(buffer))
            .unwrap_or_else(|| BytesMut::with_capacity(size))
    })
}

/// A buffer whose bytes were copied out is first in line, being warm; one whose bytes are under way last.
fn give(class: usize, mut buffer: BytesMut) {
    FREE.with_borrow_mut(|free| {
        if let Some(free) = free.get_mut(class).filter(|free| free.len() < MAX_FREE) {
            let is_shared = buffer.is_empty() && buffer.capacity() < SIZES.get(class).copied().unwrap_or(0);
            buffer.clear();
            if is_shared { free.push_back(buffer) } else { free.push_front(buffer) }
        }
    });
}
