//! What the tests of several modules need: a runtime, pairs of sockets, a pair of stream ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio_util::sync::CancellationToken;

use crate::{
    ConnectRequest, IncomingConnect, Progress, ServeError, Settings, Tunnel, TunnelStream, authority, connect, serve,
};

/// Runs a test as a worker runs; fails it when it hangs.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    run_on(&mut tokio::runtime::Builder::new_current_thread(), Duration::from_secs(120), test)
}

/// [`run`] with a clock that jumps to the next timer whenever nothing else is to do.
pub(crate) fn run_paused<T>(test: impl Future<Output = T>) -> T {
    run_on(tokio::runtime::Builder::new_current_thread().start_paused(true), Duration::from_secs(7200), test)
}

fn run_on<T>(runtime: &mut tokio::runtime::Builder, longest: Duration, test: impl Future<Output = T>) -> T {
    let runtime = runtime.enable_all().build().unwrap();
    let deadline = async { tokio::time::timeout(longest, test).await };
    LocalSet::new().block_on(&runtime, deadline).expect("the test hangs")
}

/// Two ends of a TCP connection on loopback.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

/// A server on one end of a pipe, whose requests come out of a channel.
pub(crate) struct Server {
    pub(crate) requests: UnboundedReceiver<IncomingConnect>,
    pub(crate) drain: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) fn start(settings: Settings) -> (Self, DuplexStream) {
        let (io, far) = tokio::io::duplex(1 << 16);
        let (sender, requests) = unbounded_channel();
        let drain = CancellationToken::new();
        let stop = drain.clone();
        let task = spawn_local(async move { serve(io, &settings, stop, |request| drop(sender.send(request))).await });
        (Self { requests, drain, task }, far)
    }

    pub(crate) async fn accept(&mut self) -> TunnelStream {
        self.requests.recv().await.expect("a request").accept().unwrap()
    }
}

pub(crate) fn request() -> ConnectRequest {
    ConnectRequest::new(authority::parse("10.0.0.1:80").unwrap())
}

/// A tunnel with its server.
pub(crate) async fn tunnel() -> (Tunnel, Server) {
    let (server, io) = Server::start(Settings::server());
    (connect(io, &Settings::client()).await.unwrap(), server)
}

/// The two ends of one more stream of a tunnel.
pub(crate) async fn stream_pair(tunnel: &Tunnel, server: &mut Server) -> (TunnelStream, TunnelStream) {
    let request = request();
    let (near, far) = tokio::join!(tunnel.open(&request), server.accept());
    (near.unwrap(), far)
}

/// Bytes a splice has carried.
#[derive(Default)]
pub(crate) struct Carried {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Carried {
    pub(crate) fn progress(&self) -> Progress<'_> {
        Progress { sent: &self.sent, received: &self.received }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}
