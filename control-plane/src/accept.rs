//! Accepting TLS connections, from anybody who can reach the port: bounded in number and in time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Longest wait for a handshake and the first bytes after it: three lost flights at TCP's first timeout of 1 s (1 + 2 + 4 s, RFC 6298).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept: file descriptors have run out, and some must be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most connections at once; the largest clusters have some thousand nodes, with one connection each.
const MAX_CONNECTIONS: usize = 16_384;
/// Connections that are accepted and not served yet.
const QUEUE: usize = 16;

/// Accepts from `listener` until `stop`, at most `of_address` of one peer at once; what has passed the handshake
/// comes out here.
pub(crate) fn accept(
    listener: TcpListener,
    tls: ServerConfig,
    of_address: usize,
    open: Gauge,
    stop: CancellationToken,
) -> mpsc::Receiver<Connection> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let places = Places { of_address, taken: Arc::default() };
    let accept = Accept { acceptor: TlsAcceptor::from(Arc::new(tls)), places, open, sender };
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept.run(listener) => {}
        }
    });
    receiver
}

/// A connection that has passed the handshake. It leaves its place when it is dropped.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    _place: Place,
}

struct Accept {
    acceptor: TlsAcceptor,
    places: Places,
    open: Gauge,
    sender: mpsc::Sender<Connection>,
}

impl Accept {
    async fn run(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.shake_hands(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// In a task of its own: a peer that is slow keeps nobody waiting.
    fn shake_hands(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = self.places.take(peer.ip().to_canonical(), &self.open) else {
            tracing::debug!(%peer, "too many connections");
            return;
        };
        let (acceptor, sender) = (self.acceptor.clone(), self.sender.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, greet(acceptor, stream)).await {
                // Who no longer receives is stopping.
                Ok(Ok(stream)) => drop(sender.send(Connection { stream, _place: place }).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        });
    }
}

/// The handshake, and the first bytes after it: who only shakes hands does not keep a place.
async fn greet(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    // Small messages are to leave at once.
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    if stream.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}

/// How many connections each address has.
#[derive(Debug, Clone)]
struct Places {
    /// How many it may have. Our own pod's loopback, where a port-forward and a benchmark of a whole cluster come
    /// from, may have all there are.
    of_address: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place.
struct Place {
    places: Places,
    address: IpAddr,
    open: Gauge,
}

impl Places {
    fn take(&self, address: IpAddr, open: &Gauge) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all: usize = usize::try_from(open.get()).unwrap_or_default();
        let of_address = taken.get(&address).copied().unwrap_or_default();
        let too_many = of_address >= self.of_address && !address.is_loopback();
        if of_all >= MAX_CONNECTIONS || too_many {
            return None;
        }
        taken.insert(address, of_address + 1);
        open.inc();
        Some(Place { places: self.clone(), address, open: open.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.address)),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
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
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let (places, open) = (Places { of_address: 3, taken: Arc::default() }, Gauge::default());
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let taken: Vec<_> = (0..3).map(|_| places.take(one, &open).unwrap()).collect();
        assert!(places.take(one, &open).is_none());
        assert!(places.take(other, &open).is_some(), "another address has places of its own");
        let ours: Vec<_> = (0..4).map(|_| places.take([127, 0, 0, 1].into(), &open).unwrap()).collect();
        drop(ours);
        drop(taken);
        assert_eq!(open.get(), 0);
        assert!(places.taken.lock().unwrap().is_empty());
        assert!(places.take(one, &open).is_some());
    }
}
