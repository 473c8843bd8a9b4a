//! Backends that speak HTTP/2.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use ambit_l7::{ConnectionPool, HttpPool, RetryOn, TcpPool, TrafficPolicy};
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use super::mesh::{Got, Mesh, request, run};
use crate::body::Body;
use crate::plan::Speak;

/// What a scripted server does with a stream.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Answers with `hello` and a trailer of gRPC.
    Answer,
    /// Resets the stream.
    Reset(Reason),
    /// Says goodbye and ends the connection after this answer.
    Goodbye,
    /// Waits for others: until there are so many.
    WaitFor(usize),
}

struct Server {
    address: SocketAddr,
    connections: Rc<Cell<usize>>,
    streams: Rc<Cell<usize>>,
}

impl Server {
    async fn of(script: &'static [Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, connections: Rc::default(), streams: Rc::default() };
        let (connections, streams) = (Rc::clone(&server.connections), Rc::clone(&server.streams));
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.set(connections.get() + 1);
                let streams = Rc::clone(&streams);
                spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((_, respond))) = connection.accept().await {
                        let does = script[streams.get().min(script.len() - 1)];
                        streams.set(streams.get() + 1);
                        if matches!(does, Does::Goodbye) {
                            connection.graceful_shutdown();
                        }
                        spawn_local(answer(does, respond, Rc::clone(&streams)));
                    }
                });
            }
        });
        server
    }
}

async fn answer(does: Does, mut respond: SendResponse<Bytes>, streams: Rc<Cell<usize>>) {
    match does {
        Does::Reset(reason) => return respond.send_reset(reason),
        Does::WaitFor(count) => {
            while streams.get() < count {
                tokio::task::yield_now().await;
            }
        }
        Does::Answer | Does::Goodbye => {}
    }
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data("hello".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers).unwrap();
}

fn mesh(server: &Server, http: HttpPool) -> Mesh {
    let pool = ConnectionPool { http, ..ConnectionPool::default() };
    let mut mesh = Mesh::of(&[server.address], TrafficPolicy { pool, ..TrafficPolicy::default() });
    mesh.speak = Speak::Http2;
    mesh
}

#[test]
fn requests_share_a_connection() {
    run(async {
        for (most, expected) in [(None, 1), (Some(1), 3)] {
            let server = Server::of(&[Does::WaitFor(3)]).await;
            let http = HttpPool { max_concurrent_streams: most, ..HttpPool::default() };
            let mesh = mesh(&server, http);
            let got = futures::join!(mesh.get(), mesh.get(), mesh.get());
            assert_eq!(got, (Got::good("hello", 1), Got::good("hello", 1), Got::good("hello", 1)));
            assert_eq!(server.connections.get(), expected, "{most:?}");
        }
    });
}

#[test]
fn who_finds_no_room_in_a_connection_waits_for_it_as_far_as_that_is_allowed() {
    run(async {
        for (max_pending, third) in [(None, Got::good("hello", 1)), (Some(1), Got::failed(503, "UO", 1))] {
            let server = Server::of(&[Does::Answer]).await;
            let tcp = TcpPool { max_connections: Some(1), ..TcpPool::default() };
            let http = HttpPool { max_concurrent_streams: Some(1), max_pending, ..HttpPool::default() };
            let pool = ConnectionPool { tcp, http };
            let mut mesh = Mesh::of(&[server.address], TrafficPolicy { pool, ..TrafficPolicy::default() });
            mesh.speak = Speak::Http2;
            assert_eq!(mesh.get().await, Got::good("hello", 1));
            let got = futures::join!(mesh.get(), mesh.get(), mesh.get());
            assert_eq!(got, (Got::good("hello", 1), Got::good("hello", 1), third));
            assert_eq!(server.connections.get(), 1);
        }
    });
}

#[test]
fn trailers_come_through() {
    run(async {
        let server = Server::of(&[Does::Answer]).await;
        let mesh = mesh(&server, HttpPool::default());
        let mut request = request(Method::POST, Body::full("question"));
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        let answer = mesh.send(request).await.unwrap().response.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(answer.to_bytes(), "hello");
    });
}

#[test]
fn a_refused_stream_is_tried_again_and_others_where_asked() {
    let reset = RetryOn { reset: true, ..RetryOn::default() };
    for (script, on, expected) in [
        (&[Does::Reset(Reason::REFUSED_STREAM), Does::Answer][..], None, Got::good("hello", 2)),
        (&[Does::Reset(Reason::INTERNAL_ERROR), Does::Answer], None, Got::failed(503, "UC", 1)),
        (&[Does::Reset(Reason::INTERNAL_ERROR), Does::Answer], Some(reset), Got::good("hello", 2)),
    ] {
        run(async {
            let server = Server::of(script).await;
            let mut mesh = mesh(&server, HttpPool::default());
            if let Some(on) = on.clone() {
                mesh = mesh.retrying(1, on);
            }
            assert_eq!(mesh.get().await, expected, "{script:?} {on:?}");
            assert_eq!(server.connections.get(), 1);
        });
    }
}

#[test]
fn a_connection_that_says_goodbye_gets_no_more_requests() {
    run(async {
        let server = Server::of(&[Does::Goodbye, Does::Answer]).await;
        let mesh = mesh(&server, HttpPool::default());
        for _ in 0..3 {
            assert_eq!(mesh.get().await, Got::good("hello", 1));
        }
        assert_eq!(server.connections.get(), 2);
    });
}

#[test]
fn a_client_that_goes_away_ends_its_stream() {
    run(async {
        let server = Server::of(&[Does::WaitFor(2)]).await;
        let mesh = mesh(&server, HttpPool::default());
        let early = async {
            while server.streams.get() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            got = mesh.get() => panic!("{got:?}"),
            () = early => {}
        }
        let request: Request<Body> = request(Method::GET, Body::empty());
        assert_eq!(Got::of(mesh.send(request).await).await, Got::good("hello", 1));
        assert_eq!(server.connections.get(), 1);
    });
}
