use std::cell::Cell;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::yield_now;

use super::*;
use crate::testing::{Server, request, run, run_paused};

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("nobody is there")]
struct NobodyThere;

/// A peer that accepts everything and echoes; knows its connections.
#[derive(Clone)]
struct Peer {
    settings: Settings,
    dials: Rc<Cell<usize>>,
    connections: Rc<RefCell<Vec<(tokio_util::sync::CancellationToken, tokio::task::AbortHandle)>>>,
    absent: bool,
    good_for: Option<Duration>,
}

impl Peer {
    fn new(max_streams: u32) -> Self {
        let settings = Settings { max_streams, ..Settings::server() };
        Self { settings, dials: Rc::default(), connections: Rc::default(), absent: false, good_for: None }
    }

    fn dial(&self) -> impl AsyncFn() -> Result<Dialled<DuplexStream>, NobodyThere> + 'static {
        let peer = self.clone();
        async move || {
            peer.dials.set(peer.dials.get() + 1);
            // As long as another task takes to run.
            spawn_local(yield_now()).await.unwrap();
            if peer.absent {
                return Err(NobodyThere);
            }
            let (mut server, io) = Server::start(peer.settings);
            peer.connections.borrow_mut().push((server.drain.clone(), server.task.abort_handle()));
            spawn_local(async move {
                while let Some(request) = server.requests.recv().await {
                    spawn_local(async move {
                        let (mut read, mut write) = tokio::io::split(request.accept().unwrap());
                        drop(tokio::io::copy(&mut read, &mut write).await);
                        drop(write.shutdown().await);
                    });
                }
            });
            Ok(Dialled { io, until: peer.good_for.map(|time| Instant::now() + time) })
        }
    }
}

fn pool(max_streams: u32) -> Pool<&'static str, NobodyThere> {
    Pool::new(Settings { max_streams, ..Settings::client() }, Duration::from_secs(300))
}

async fn open(pool: &Pool<&'static str, NobodyThere>, peer: &Peer) -> Result<TunnelStream, PoolError<NobodyThere>> {
    pool.open(&"peer", &request(), peer.dial()).await
}

async fn expect_echo(stream: &mut TunnelStream) {
    stream.write_all(b"echo").await.unwrap();
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"echo");
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

#[test]
fn one_dial_for_all_who_wait() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let opened = futures::future::join_all((0..50).map(|_| open(&pool, &peer))).await;
        for stream in opened {
            expect_echo(&mut stream.unwrap()).await;
        }
        assert_eq!(peer.dials.get(), 1);
        until(|| pool.counts() == Counts { tunnels: 1, streams: 0 }).await;
        expect_echo(&mut open(&pool, &peer).await.unwrap()).await;
        assert_eq!(peer.dials.get(), 1);
    });
}

#[test]
fn other_keys_have_other_tunnels() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let _one = open(&pool, &peer).await.unwrap();
        let _two = pool.open(&"other", &request(), peer.dial()).await.unwrap();
        assert_eq!(pool.counts(), Counts { tunnels: 2, streams: 2 });
    });
}

#[test]
fn failed_dial_reaches_all_who_waited() {
    run(async {
        let (pool, peer) = (pool(100), Peer { absent: true, ..Peer::new(200) });
        let opened = futures::future::join_all((0..5).map(|_| open(&pool, &peer))).await;
        assert!(opened.iter().all(|opened| matches!(opened, Err(PoolError::Dial(NobodyThere)))));
        assert_eq!(peer.dials.get(), 1);
        assert!(open(&pool, &peer).await.is_err());
        assert_eq!(peer.dials.get(), 2, "a failure is not kept");
    });
}

#[test]
fn dial_survives_who_began_it() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let mut first = Box::pin(open(&pool, &peer));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(open(&pool, &peer));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        expect_echo(&mut second.await.unwrap()).await;
        assert_eq!(peer.dials.get(), 1);
    });
}

/// By our own limit, and by the peer's.
#[test]
fn full_tunnels_are_kept_and_used_again() {
    for (ours, theirs) in [(2, 200), (100, 2)] {
        run(async {
            let (pool, peer) = (pool(ours), Peer::new(theirs));
            let mut streams = Vec::new();
            for _ in 0..5 {
                let mut stream = open(&pool, &peer).await.unwrap();
                expect_echo(&mut stream).await;
                streams.push(stream);
            }
            assert_eq!(pool.counts(), Counts { tunnels: 3, streams: 5 });
            drop(streams.remove(0));
            streams.push(open(&pool, &peer).await.unwrap());
            streams.push(open(&pool, &peer).await.unwrap());
            assert_eq!((peer.dials.get(), pool.counts().streams), (3, 6));
        });
    }
}

#[test]
fn drained_tunnel_is_left_and_its_streams_live_on() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let mut old = open(&pool, &peer).await.unwrap();
        peer.connections.borrow()[0].0.cancel();
        let mut new = open(&pool, &peer).await.unwrap();
        expect_echo(&mut new).await;
        expect_echo(&mut old).await;
        assert_eq!(peer.dials.get(), 2);
        assert_eq!(pool.counts(), Counts { tunnels: 2, streams: 2 });
    });
}

#[test]
fn dead_tunnel_costs_a_retry_not_a_failure() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        drop(open(&pool, &peer).await.unwrap());
        peer.connections.borrow()[0].1.abort();
        expect_echo(&mut open(&pool, &peer).await.unwrap()).await;
        assert_eq!(peer.dials.get(), 2);
        until(|| pool.counts() == Counts { tunnels: 1, streams: 0 }).await;
    });
}

#[test]
fn idle_tunnels_are_closed() {
    run_paused(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let busy = open(&pool, &peer).await.unwrap();
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(pool.counts(), Counts { tunnels: 1, streams: 1 });
        drop(busy);
        sleep(Duration::from_secs(299)).await;
        assert_eq!(pool.counts(), Counts { tunnels: 1, streams: 0 });
        sleep(Duration::from_secs(100)).await;
        assert_eq!(pool.counts(), Counts::default());
    });
}

#[test]
fn closed_keys_take_no_more_streams() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let mut old = open(&pool, &peer).await.unwrap();
        pool.close(|key| *key == "another");
        let _same = open(&pool, &peer).await.unwrap();
        assert_eq!(peer.dials.get(), 1);
        pool.close(|key| *key == "peer");
        let _new = open(&pool, &peer).await.unwrap();
        assert_eq!(peer.dials.get(), 2);
        expect_echo(&mut old).await;
    });
}

#[test]
fn tunnel_past_its_time_takes_no_more_streams_and_keeps_those_it_has() {
    run_paused(async {
        let pool = pool(100);
        let peer = Peer { good_for: Some(Duration::from_secs(60)), ..Peer::new(200) };
        let mut old = open(&pool, &peer).await.unwrap();
        tokio::time::advance(Duration::from_secs(59)).await;
        let _same = open(&pool, &peer).await.unwrap();
        assert_eq!(peer.dials.get(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        let _new = open(&pool, &peer).await.unwrap();
        assert_eq!(peer.dials.get(), 2);
        expect_echo(&mut old).await;
    });
}

#[test]
fn key_closed_during_a_dial_is_dialled_again() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let mut opening = Box::pin(open(&pool, &peer));
        assert!(futures::poll!(&mut opening).is_pending());
        pool.close(|_| true);
        expect_echo(&mut opening.await.unwrap()).await;
        assert_eq!(peer.dials.get(), 2);
    });
}

#[test]
fn drained_pool_refuses() {
    run(async {
        let (pool, peer) = (pool(100), Peer::new(200));
        let mut old = open(&pool, &peer).await.unwrap();
        pool.drain();
        assert!(matches!(open(&pool, &peer).await, Err(PoolError::Draining)));
        expect_echo(&mut old).await;
        drop(old);
        until(|| pool.counts() == Counts::default()).await;
    });
}

#[test]
fn peer_without_streams_is_no_endless_loop() {
    run_paused(async {
        let (pool, peer) = (pool(100), Peer::new(0));
        let opened = tokio::time::timeout(Duration::from_secs(5), open(&pool, &peer)).await;
        assert!(!matches!(opened, Ok(Ok(_))));
        assert_eq!(peer.dials.get(), 1);
    });
}
