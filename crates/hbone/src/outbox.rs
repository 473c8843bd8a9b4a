//! What a tunnel has to say in one turn goes out in one piece. The codec flushes after every frame of more than a few
//! bytes; passed on as it comes, each would be a TLS record and a write to the socket of its own.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that are held back: a whole TLS record. What is larger by itself is written as it is, uncopied.
const MOST: usize = 16_384;

/// A byte stream as the codec has it, and once more as its driver has it: who drives the codec calls
/// [`Outbox::poll_turn`] instead of polling it, and what the codec wrote meanwhile is written at the end of the turn.
#[derive(Debug)]
pub(crate) struct Outbox<IO>(Rc<RefCell<State<IO>>>);

#[derive(Debug)]
struct State<IO> {
    io: IO,
    held: BytesMut,
    /// Whether somebody writes what is held: not before there is a driver.
    is_driven: bool,
    /// Why what was held could not be written, for the codec to find.
    broken: Option<io::Error>,
}

impl<IO> Clone for Outbox<IO> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<IO: AsyncWrite + Unpin> Outbox<IO> {
    /// One that holds nothing back before the first turn.
    pub(crate) fn new(io: IO) -> Self {
        Self(Rc::new(RefCell::new(State { io, held: BytesMut::new(), is_driven: false, broken: None })))
    }

    /// Lets the codec do what there is to do, and then writes what it has to say.
    pub(crate) fn poll_turn<T>(&self, cx: &mut Context<'_>, codec: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.0.borrow_mut().is_driven = true;
        let result = codec(cx);
        let mut state = self.0.borrow_mut();
        if let Poll::Ready(Err(error)) = state.poll_flush(cx) {
            state.broken = Some(error);
            cx.waker().wake_by_ref();
        }
        result
    }
}

impl<IO: AsyncWrite + Unpin> State<IO> {
    /// Writes what is held.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        // A tunnel without traffic keeps no memory for it.
        self.held = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.held.len() + length > MOST {
            ready!(self.poll_drain(cx))?;
        }
        if length > MOST {
            return Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        }
        parts.iter().for_each(|part| self.held.extend_from_slice(part));
        Poll::Ready(Ok(length))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Outbox<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if let Some(error) = state.broken.take() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut state.io).poll_read(cx, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Outbox<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.is_driven { Poll::Ready(Ok(())) } else { state.poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        ready!(state.poll_drain(cx))?;
        Pin::new(&mut state.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::testing::run;

    /// Takes so many bytes and no more, and notes each write.
    #[derive(Debug)]
    struct Narrow {
        room: usize,
        writes: Vec<usize>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A codec that writes pieces of these sizes, each with a flush, as far as it gets.
    fn write(outbox: &Outbox<Narrow>, sizes: &[usize]) -> usize {
        outbox.poll_turn(&mut Context::from_waker(Waker::noop()), |cx| {
            let mut codec = outbox.clone();
            let mut one = |size: &usize| {
                let written = Pin::new(&mut codec).poll_write(cx, &vec![7; *size]).is_ready();
                written && Pin::new(&mut codec).poll_flush(cx).is_ready()
            };
            sizes.iter().take_while(|size| one(size)).count()
        })
    }

    #[test]
    fn a_turn_is_one_write_and_memory_is_bounded() {
        for (room, sizes, taken, writes) in [
            (usize::MAX, &[10, 1000, 20][..], 3, &[1030][..]),
            (usize::MAX, &[10, MOST, 20], 3, &[10, MOST, 20]),
            (usize::MAX, &[10, MOST + 1, 20], 3, &[10, MOST + 1, 20]),
            (100, &[1000, 1000], 2, &[100]),
            (100, &[MOST, 1, 1], 1, &[100]),
        ] {
            let outbox = Outbox::new(Narrow { room, writes: Vec::new() });
            assert_eq!(write(&outbox, sizes), taken, "{sizes:?}");
            assert_eq!(outbox.0.borrow().io.writes, writes, "{sizes:?}");
            assert!(outbox.0.borrow().held.len() <= MOST);
        }
    }

    #[test]
    fn what_did_not_fit_goes_out_in_a_later_turn() {
        let outbox = Outbox::new(Narrow { room: 100, writes: Vec::new() });
        write(&outbox, &[150]);
        outbox.0.borrow_mut().io.room = 100;
        write(&outbox, &[]);
        assert_eq!(outbox.0.borrow().io.writes, [100, 50]);
        assert_eq!(outbox.0.borrow().held.capacity(), 0);
    }

    #[test]
    fn nothing_is_held_back_before_there_is_a_driver() {
        run(async {
            let (near, mut far) = tokio::io::duplex(64);
            let mut outbox = Outbox::new(near);
            outbox.write_all(b"hello").await.unwrap();
            outbox.flush().await.unwrap();
            let mut read = [0; 5];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"hello");
        });
    }

    #[test]
    fn who_cannot_write_is_told() {
        run(async {
            let (near, far) = tokio::io::duplex(64);
            drop(far);
            let outbox = Outbox::new(near);
            let mut codec = outbox.clone();
            let turn = std::future::poll_fn(|cx| outbox.poll_turn(cx, |cx| Pin::new(&mut codec).poll_write(cx, b"a")));
            assert_eq!(turn.await.unwrap(), 1);
            assert!(codec.write(b"b").await.is_err());
        });
    }
}
