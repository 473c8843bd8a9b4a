//! A client that kept silent for so long that its connection counts as bytes, where limits count requests: it must not
//! turn out to speak HTTP after all, or waiting would be a way round them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ambit_l7::sniff::{Protocol, unsaid};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's stream that breaks where it turns out to be HTTP.
#[derive(Debug)]
pub(super) struct NotHttp<S> {
    stream: S,
    /// Its first bytes, as long as they may be HTTP's.
    first: Option<Vec<u8>>,
}

impl<S> NotHttp<S> {
    /// A stream that is looked at from here on, or not at all.
    pub(super) fn new(stream: S, is_watched: bool) -> Self {
        Self { stream, first: is_watched.then(Vec::new) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NotHttp<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let Some(first) = &mut self.first else { return Poll::Ready(Ok(())) };
        first.extend_from_slice(into.filled().get(before..).unwrap_or_default());
        match unsaid(first) {
            None => {}
            Some(Protocol::Http1 | Protocol::Http2) => {
                into.set_filled(before);
                let what = "HTTP after a silence, where requests are limited";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
            }
            Some(Protocol::Tls(_) | Protocol::Tcp) => self.first = None,
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NotHttp<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn only_http_breaks_and_only_where_it_is_watched() {
        for (pieces, is_watched, is_http) in [
            (&["GET / HTTP/1.1\r\n", "host: a\r\n\r\n"][..], true, true),
            (&["GE", "T / HT", "TP/1.1\r\n\r\n"], true, true),
            (&["PRI * HTTP/2.0\r\n\r\n", "SM\r\n\r\n"], true, true),
            (&["GET / HTTP/1.1\r\n\r\n"], false, false),
            (&["EHLO a\r\n", "GET / HTTP/1.1\r\n\r\n"], true, false),
            (&["GE"], true, false),
        ] {
            let (mut client, server) = tokio::io::duplex(1 << 10);
            let mut stream = NotHttp::new(server, is_watched);
            let sending = async {
                for piece in pieces {
                    client.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
            };
            let mut read = String::new();
            let (result, ()) = tokio::join!(stream.read_to_string(&mut read), sending);
            assert_eq!(result.is_err(), is_http, "{pieces:?} {is_watched}");
            if !is_http {
                assert_eq!(read, pieces.concat());
            }
        }
    }
}
