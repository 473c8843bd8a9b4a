//! A stream whose first bytes were looked at, and are read again by whoever reads next.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A stream, and what of it was looked at.
#[derive(Debug)]
pub(crate) struct Rewind<S> {
    seen: BytesMut,
    stream: S,
}

impl<S> Rewind<S> {
    /// A stream of which nothing was looked at yet.
    pub(crate) fn new(stream: S) -> Self {
        Self { seen: BytesMut::new(), stream }
    }

    /// A stream with bytes in front that were taken from it.
    pub(crate) fn with(seen: &Bytes, stream: S) -> Self {
        Self { seen: BytesMut::from(&seen[..]), stream }
    }

    /// What was looked at and not read yet.
    pub(crate) fn seen(&self) -> &[u8] {
        &self.seen
    }
}

impl<S: AsyncRead + Unpin> Rewind<S> {
    /// Looks at more. Returns how many bytes came; none: the stream has ended.
    pub(crate) async fn look(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.seen).await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let taken = self.seen.len().min(into.remaining());
        into.put_slice(&self.seen.copy_to_bytes(taken));
        if self.seen.is_empty() {
            self.seen = BytesMut::new(); // its memory is not kept for the life of the connection
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
