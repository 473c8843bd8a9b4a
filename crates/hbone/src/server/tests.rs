use std::time::Duration;

use ambit_model::PeerAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::spawn_local;

use super::*;
use crate::testing::{Server, request, run, run_paused, stream_pair, tunnel};
use crate::{OpenError, ResetCode};

/// A client that can send requests ours never would.
async fn raw_client(io: DuplexStream) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    spawn_local(async move { drop(connection.await) });
    send.ready().await.unwrap()
}

#[test]
fn request_arrives_whole() {
    run(async {
        let (tunnel, mut server) = tunnel().await;
        let mut sent = request();
        let baggage = Baggage { namespace: "shop".to_owned(), ..Baggage::default() };
        let client = PeerAddr::new("10.0.0.9:4711".parse().unwrap());
        sent.baggage = Some(baggage.header());
        sent.forwarded = Some(Forwarded { client, host: Some("web.shop".to_owned()) });
        sent.traceparent = Some(TraceParent::random());
        sent.client_principal = Some(Identity::new("cluster.local", "shop", "cart"));
        let check = async {
            let got = server.requests.recv().await.unwrap();
            assert_eq!(*got.authority(), sent.authority);
            assert_eq!((got.baggage(), got.forwarded()), (Some(baggage), sent.forwarded.clone()));
            assert_eq!(got.traceparent(), sent.traceparent);
            assert_eq!(got.client_principal(), Ok(sent.client_principal.clone()));
            got.accept().unwrap()
        };
        let (near, mut far) = tokio::join!(tunnel.open(&sent), check);
        let mut near = near.unwrap();
        near.write_all(b"ping").await.unwrap();
        near.shutdown().await.unwrap();
        let mut read = String::new();
        far.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "ping");
    });
}

#[test]
fn refusal_arrives_as_its_status() {
    run(async {
        let (tunnel, mut server) = tunnel().await;
        let request = request();
        for status in [400, 401, 503] {
            let refuse = async {
                server.requests.recv().await.unwrap().refuse(StatusCode::from_u16(status).unwrap());
            };
            let (opened, ()) = tokio::join!(tunnel.open(&request), refuse);
            assert!(matches!(opened, Err(OpenError::Refused { status: got }) if got == status));
        }
        let drop_it = async { drop(server.requests.recv().await.unwrap()) };
        let (opened, ()) = tokio::join!(tunnel.open(&request), drop_it);
        assert!(matches!(opened, Err(OpenError::Tunnel(_))));
    });
}

#[test]
fn malformed_requests_are_answered_400() {
    run(async {
        let (_server, io) = Server::start(Settings::server());
        let mut client = raw_client(io).await;
        for (method, uri) in [
            (Method::GET, "http://10.0.0.1:80/"),
            (Method::CONNECT, "10.0.0.1"),
            (Method::CONNECT, "user@10.0.0.1:80"),
            (Method::CONNECT, "10.0.0.300:80"),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let (response, _stream) = client.send_request(request, false).unwrap();
            assert_eq!(response.await.unwrap().status(), 400, "{uri}");
            client = client.ready().await.unwrap();
        }
    });
}

#[test]
fn client_that_gives_up_is_noticed() {
    run(async {
        let (tunnel, mut server) = tunnel().await;
        let request = request();
        let mut opening = Box::pin(tunnel.open(&request));
        let mut incoming = tokio::select! {
            _ = &mut opening => panic!("nobody answered"),
            incoming = server.requests.recv() => incoming.unwrap(),
        };
        drop(opening);
        incoming.given_up().await;
        assert!(incoming.accept().is_err());
    });
}

#[test]
fn stream_reset_reaches_the_client_alone() {
    run(async {
        let (tunnel, mut server) = tunnel().await;
        let (mut one, one_far) = stream_pair(&tunnel, &mut server).await;
        let (mut two, mut two_far) = stream_pair(&tunnel, &mut server).await;
        one_far.reset(ResetCode::Cancel);
        assert!(one.read(&mut [0]).await.is_err());
        two_far.write_all(b"x").await.unwrap();
        assert_eq!(two.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn drain_lets_streams_finish() {
    run(async {
        let (tunnel, mut server) = tunnel().await;
        let (mut near, mut far) = stream_pair(&tunnel, &mut server).await;
        server.drain.cancel();
        while tunnel.is_usable() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(tunnel.open(&request()).await, Err(OpenError::Tunnel(_))));
        near.write_all(b"late").await.unwrap();
        near.shutdown().await.unwrap();
        let mut read = String::new();
        far.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "late");
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
        server.task.await.unwrap().unwrap();
    });
}

#[test]
fn garbage_ends_the_connection() {
    run(async {
        let garbage: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            &[0xff; 100],
            b"\x16\x03\x01\x02\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for bytes in garbage {
            let (server, mut io) = Server::start(Settings::server());
            // The server may hang up before all of it is written.
            drop(io.write_all(bytes).await);
            drop(io.shutdown().await);
            let ended = server.task.await.unwrap();
            assert!(matches!(ended, Err(ServeError::Handshake(_) | ServeError::Tunnel(_))), "{ended:?}");
        }
    });
}

#[test]
fn silent_client_is_left() {
    run_paused(async {
        let (server, _io) = Server::start(Settings::server());
        assert!(matches!(server.task.await.unwrap(), Err(ServeError::HandshakeTimeout)));
    });
}

#[test]
fn client_that_stops_answering_is_left() {
    run_paused(async {
        let (server, io) = Server::start(Settings::server());
        let (_send, mut connection) = h2::client::handshake(io).await.unwrap();
        // It gets as far as its preface, then nobody drives it.
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut connection).await.is_err());
        assert!(matches!(server.task.await.unwrap(), Err(ServeError::Dead)));
    });
}

#[test]
fn rapid_reset_is_bounded() {
    run(async {
        let (mut server, io) = Server::start(Settings::server());
        let mut client = raw_client(io).await;
        let flood = async {
            for _ in 0..5_000 {
                let request = Request::builder().method(Method::CONNECT).uri("10.0.0.1:80").body(()).unwrap();
                let Ok((_, mut stream)) = client.send_request(request, false) else { return };
                stream.send_reset(Reason::CANCEL);
                match client.ready().await {
                    Ok(ready) => client = ready,
                    Err(_) => return,
                }
                tokio::task::yield_now().await;
            }
        };
        // Held as tasks that connect upstream would hold them.
        let mut held = Vec::new();
        let hold = async {
            while let Some(request) = server.requests.recv().await {
                held.push(request);
            }
        };
        tokio::select! {
            () = flood => {}
            () = hold => {}
        }
        assert!(held.len() <= 400, "{} requests were let in", held.len());
    });
}
