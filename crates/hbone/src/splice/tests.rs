use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::*;
use crate::testing::Carried;
use crate::testing::{Server, run, run_paused, stream_pair, tcp_pair, tunnel};
use crate::{Settings, Tunnel};

/// A client and a server application and all that is between them.
struct Path {
    client: TcpStream,
    server: TcpStream,
    near: JoinHandle<Result<(), SpliceError>>,
    far: JoinHandle<Result<(), SpliceError>>,
    progress: Rc<Carried>,
}

impl Path {
    async fn new(tunnel: &Tunnel, peer: &mut Server) -> Self {
        let (near, far) = stream_pair(tunnel, peer).await;
        let ((client, captured), (dialled, server)) = tokio::join!(tcp_pair(), tcp_pair());
        let progress = Rc::new(Carried::default());
        let shared = Rc::clone(&progress);
        let near = spawn_local(async move { splice(captured, near, &shared.progress()).await });
        let far = spawn_local(async move { splice(dialled, far, &Carried::default().progress()).await });
        Self { client, server, near, far, progress }
    }
}

async fn expect_bytes(tcp: &mut TcpStream, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    tcp.read_exact(&mut read).await.unwrap();
    assert_eq!(read, expected);
}

async fn expect_end(tcp: &mut TcpStream) {
    assert_eq!(tcp.read(&mut [0]).await.unwrap(), 0);
}

async fn expect_reset(tcp: &mut TcpStream) {
    assert_eq!(tcp.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn carries_both_ways_and_counts() {
    run(async {
        let (tunnel, mut peer) = tunnel().await;
        let mut path = Path::new(&tunnel, &mut peer).await;
        for round in 0..100_u8 {
            path.client.write_all(&[round; 100]).await.unwrap();
            expect_bytes(&mut path.server, &[round; 100]).await;
            path.server.write_all(&[round; 7]).await.unwrap();
            expect_bytes(&mut path.client, &[round; 7]).await;
        }
        drop((path.client, path.server));
        path.near.await.unwrap().unwrap();
        path.far.await.unwrap().unwrap();
        assert_eq!((path.progress.sent(), path.progress.received()), (10_000, 700));
    });
}

#[test]
fn server_may_speak_first() {
    run(async {
        let (tunnel, mut peer) = tunnel().await;
        let mut path = Path::new(&tunnel, &mut peer).await;
        path.server.write_all(b"220 ready").await.unwrap();
        expect_bytes(&mut path.client, b"220 ready").await;
    });
}

#[test]
fn half_close_leaves_the_other_half() {
    for client_first in [true, false] {
        run(async {
            let (tunnel, mut peer) = tunnel().await;
            let path = Path::new(&tunnel, &mut peer).await;
            let (mut first, mut second) =
                if client_first { (path.client, path.server) } else { (path.server, path.client) };
            first.write_all(b"question").await.unwrap();
            first.shutdown().await.unwrap();
            expect_bytes(&mut second, b"question").await;
            expect_end(&mut second).await;
            second.write_all(b"answer").await.unwrap();
            expect_bytes(&mut first, b"answer").await;
            second.shutdown().await.unwrap();
            expect_end(&mut first).await;
            path.near.await.unwrap().unwrap();
            path.far.await.unwrap().unwrap();
        });
    }
}

#[test]
fn reset_travels_both_ways() {
    for from_client in [true, false] {
        run(async {
            let (tunnel, mut peer) = tunnel().await;
            let path = Path::new(&tunnel, &mut peer).await;
            let (first, mut second) = if from_client { (path.client, path.server) } else { (path.server, path.client) };
            first.set_zero_linger().unwrap();
            drop(first);
            expect_reset(&mut second).await;
            let (near, far) = (path.near.await.unwrap().unwrap_err(), path.far.await.unwrap().unwrap_err());
            let (broken, told) = if from_client { (near, far) } else { (far, near) };
            assert!(matches!(broken, SpliceError::Tcp(_)), "{broken:?}");
            assert!(matches!(told, SpliceError::Tunnel(_)), "{told:?}");
        });
    }
}

/// Also when one half has ended, and when the receiver does not read.
#[test]
fn cut_connection_never_looks_complete() {
    for (half_closed, stalled) in [(false, false), (true, false), (true, true)] {
        run_paused(async {
            let (tunnel, mut peer) = tunnel().await;
            let mut path = Path::new(&tunnel, &mut peer).await;
            if half_closed {
                path.server.shutdown().await.unwrap();
                expect_end(&mut path.client).await;
            }
            if stalled {
                while timeout(Duration::from_secs(1), path.client.write_all(&[0; 1 << 16])).await.is_ok() {}
            }
            path.near.abort();
            let fault = path.far.await.unwrap().unwrap_err();
            assert!(matches!(fault, SpliceError::Tunnel(_)), "{fault:?}");
            let mut rest = Vec::new();
            assert_eq!(path.server.read_to_end(&mut rest).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!(path.client.write_all(&[0; 1 << 22]).await.is_err());
        });
    }
}

#[test]
fn dead_tunnel_resets_its_connections() {
    run(async {
        let (tunnel, mut peer) = tunnel().await;
        let mut path = Path::new(&tunnel, &mut peer).await;
        peer.task.abort();
        expect_reset(&mut path.client).await;
        expect_reset(&mut path.server).await;
    });
}

#[test]
fn bulk_arrives_unchanged() {
    const BLOCK: usize = 1 << 20;
    const BLOCKS: u8 = 200;
    fn block(seed: u8) -> Vec<u8> {
        let mut state = u64::from(seed) + 1;
        (0..BLOCK / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect()
    }
    run(async {
        let (tunnel, mut peer) = tunnel().await;
        let mut path = Path::new(&tunnel, &mut peer).await;
        let writer = spawn_local(async move {
            for seed in 0..BLOCKS {
                path.client.write_all(&block(seed)).await.unwrap();
            }
            path.client.shutdown().await.unwrap();
            path.client
        });
        let mut read = vec![0; BLOCK];
        for seed in 0..BLOCKS {
            path.server.read_exact(&mut read).await.unwrap();
            assert!(read == block(seed), "block {seed} differs");
        }
        expect_end(&mut path.server).await;
        drop(writer.await.unwrap());
        assert_eq!(path.progress.sent(), u64::from(BLOCKS) * BLOCK as u64);
    });
}

#[test]
fn slow_reader_stops_the_sender_but_no_neighbour() {
    run_paused(async {
        let (tunnel, mut peer) = tunnel().await;
        let mut slow = Path::new(&tunnel, &mut peer).await;
        let mut other = Path::new(&tunnel, &mut peer).await;
        let mut written = 0;
        while let Ok(now) = timeout(Duration::from_secs(1), slow.client.write(&[0; 1 << 16])).await {
            written += now.unwrap() as u64;
        }
        let limits = Settings::client();
        let in_tunnel = u64::from(limits.stream_window) + limits.send_buffer as u64;
        let sent = slow.progress.sent();
        // What the far kernel's socket buffers took has left the window again.
        assert!(sent <= in_tunnel + (16 << 20), "{sent} bytes were taken from the sender");
        other.client.write_all(b"hello").await.unwrap();
        expect_bytes(&mut other.server, b"hello").await;
        assert_eq!(slow.progress.sent(), sent);
        slow.client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        slow.server.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len() as u64, written);
    });
}

#[test]
fn streams_do_not_mix() {
    run(async {
        let (tunnel, mut peer) = tunnel().await;
        let mut apps = Vec::new();
        for name in 0..64_u8 {
            let mut path = Path::new(&tunnel, &mut peer).await;
            apps.push(spawn_local(async move {
                for round in 0..20 {
                    let message = vec![name; 1 + 997 * round];
                    path.client.write_all(&message).await.unwrap();
                    expect_bytes(&mut path.server, &message).await;
                }
            }));
        }
        for app in apps {
            app.await.unwrap();
        }
    });
}

#[test]
fn plain_carries_half_closes_and_resets() {
    run(async {
        for (reset_by_client, cut) in [(false, false), (true, false), (false, true)] {
            let ((mut client, captured), (dialled, mut server)) = tokio::join!(tcp_pair(), tcp_pair());
            let relay =
                spawn_local(async move { splice_plain(captured, dialled, &Carried::default().progress()).await });
            client.write_all(b"question").await.unwrap();
            expect_bytes(&mut server, b"question").await;
            if cut {
                relay.abort();
                expect_reset(&mut client).await;
                expect_reset(&mut server).await;
            } else if reset_by_client {
                client.set_zero_linger().unwrap();
                drop(client);
                expect_reset(&mut server).await;
                assert!(matches!(relay.await.unwrap(), Err(PlainSpliceError::First(_))));
            } else {
                client.shutdown().await.unwrap();
                expect_end(&mut server).await;
                server.write_all(&[7; 1 << 20]).await.unwrap();
                server.shutdown().await.unwrap();
                expect_bytes(&mut client, &[7; 1 << 20]).await;
                expect_end(&mut client).await;
                relay.await.unwrap().unwrap();
            }
        }
    });
}
