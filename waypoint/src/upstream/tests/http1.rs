//! Backends that speak HTTP/1.1.

use std::time::Duration;

use ambit_l7::{ConnectionPool, HttpPool, ProxyProtocol, RetryOn, TcpPool, TrafficPolicy};
use ambit_model::PeerAddr;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::mesh::{BUSY, Does, Got, HELLO, Mesh, Server, nobody, request, run};
use crate::body::Body;
use crate::plan::{Client, Plan};
use crate::upstream::send;

fn reset() -> RetryOn {
    RetryOn { reset: true, ..RetryOn::default() }
}

fn server_error() -> RetryOn {
    RetryOn { server_error: true, ..RetryOn::default() }
}

fn pool(tcp: TcpPool, http: HttpPool) -> TrafficPolicy {
    TrafficPolicy { pool: ConnectionPool { tcp, http }, ..TrafficPolicy::default() }
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    run(async {
        for (most, expected) in [(None, 1), (Some(1), 3), (Some(2), 2)] {
            let server = Server::of(&[HELLO]).await;
            let http = HttpPool { max_requests_per_connection: most, ..HttpPool::default() };
            let mesh = Mesh::of(&[server.address], pool(TcpPool::default(), http));
            for _ in 0..3 {
                assert_eq!(mesh.get().await, Got::good("hello", 1));
            }
            assert_eq!(server.connections.get(), expected, "{most:?}");
        }
    });
}

#[test]
fn attempts() {
    const DIES: Does = Does::Last("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
    const GARBAGE: Does = Does::Last("SMTP ready\r\n\r\n");
    let die = Got { text: None, ..Got::good("", 1) };
    let busy = |flags: &str, attempts| Got { text: Some(String::new()), ..Got::failed(503, flags, attempts) };
    for (script, on, expected, connections) in [
        (&[HELLO][..], RetryOn::default(), Got::good("hello", 1), 1),
        (&[BUSY, HELLO], RetryOn::default(), busy("-", 1), 1),
        (&[BUSY, HELLO], server_error(), Got::good("hello", 2), 1),
        (&[BUSY], server_error(), busy("URX", 3), 1),
        (&[Does::HangUp, HELLO], RetryOn::default(), Got::failed(503, "UC", 1), 1),
        (&[Does::HangUp, HELLO], reset(), Got::good("hello", 2), 2),
        (&[Does::HangUp], reset(), Got::failed(503, "URX,UC", 3), 3),
        // Once an answer has begun there is no other.
        (&[DIES, HELLO], reset(), die, 1),
        (&[GARBAGE], RetryOn::default(), Got::failed(502, "UPE", 1), 1),
    ] {
        run(async {
            let server = Server::of(script).await;
            let mesh = Mesh::of(&[server.address], TrafficPolicy::default()).retrying(2, on.clone());
            let got = mesh.get().await;
            assert_eq!((got, server.connections.get()), (expected, connections), "{script:?} {on:?}");
        });
    }
}

#[test]
fn a_kept_connection_that_was_closed_is_no_attempt() {
    run(async {
        let server = Server::of(&[HELLO, Does::HangUp, HELLO]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default()).retrying(0, RetryOn::default());
        assert_eq!(mesh.get().await, Got::good("hello", 1));
        assert_eq!(mesh.get().await, Got::good("hello", 1));
        assert_eq!(server.connections.get(), 2);
    });
    run(async {
        let server = Server::of(&[HELLO, Does::HangUp, HELLO]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default()).retrying(0, RetryOn::default());
        assert_eq!(mesh.get().await, Got::good("hello", 1));
        // What may have been done must not be done twice.
        let got = Got::of(mesh.send(request(Method::POST, Body::full("hello"))).await).await;
        assert_eq!(got, Got::failed(503, "UC", 1));
    });
}

#[test]
fn a_body_is_sent_again() {
    run(async {
        let server = Server::of(&[BUSY, HELLO]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default()).retrying(1, server_error());
        let got = Got::of(mesh.send(request(Method::POST, Body::full("question"))).await).await;
        assert_eq!(got, Got::good("hello", 2));
        let requests = server.requests.borrow();
        assert_eq!(requests[0], requests[1]);
        assert!(requests[0].ends_with("\r\n\r\nquestion"), "{requests:?}");
    });
}

#[test]
fn another_endpoint_is_tried() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        // By default connections that do not come about are tried elsewhere.
        let mesh = Mesh::of(&[nobody().await, server.address], TrafficPolicy::default());
        for _ in 0..8 {
            let got = mesh.get().await;
            assert!(got.status == 200 && got.attempts <= 2, "{got:?}");
        }
        let mesh = Mesh::of(&[nobody().await], TrafficPolicy::default());
        assert_eq!(mesh.get().await, Got::failed(503, "UF,URX", 3));
        let mesh = Mesh::of(&[], TrafficPolicy::default());
        assert_eq!(mesh.get().await, Got::failed(503, "UH", 0));
    });
}

#[test]
fn time_is_bounded() {
    run(async {
        let server = Server::of(&[Does::Wait]).await;
        let short = Duration::from_millis(50);
        let mut mesh = Mesh::of(&[server.address], TrafficPolicy::default());
        mesh.deadline = Some(short);
        assert_eq!(mesh.get().await, Got::failed(504, "UT", 1));

        let server = Server::of(&[Does::Wait, HELLO]).await;
        let mut mesh = Mesh::of(&[server.address], TrafficPolicy::default()).retrying(1, reset());
        mesh.retry.as_mut().unwrap().per_try_timeout = Some(short);
        assert_eq!(mesh.get().await, Got::good("hello", 2));
    });
}

#[test]
fn limits_overflow() {
    run(async {
        let server = Server::of(&[Does::Wait]).await;
        let http = HttpPool { max_pending: Some(1), ..HttpPool::default() };
        let mesh = Mesh::of(&[server.address], pool(TcpPool { max_connections: Some(1), ..TcpPool::default() }, http));
        let busy = async {
            while server.requests.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let mut first = std::pin::pin!(mesh.get());
        tokio::select! {
            got = &mut first => panic!("{got:?}"),
            () = busy => {}
        }
        // The second waits for the connection; there is no room for a third to wait.
        tokio::select! {
            biased;
            got = &mut first => panic!("{got:?}"),
            got = mesh.get() => panic!("{got:?}"),
            got = mesh.get() => assert_eq!(got, Got::failed(503, "UO", 1)),
        }
        let server = Server::of(&[Does::Wait]).await;
        let http = HttpPool { max_requests: Some(1), ..HttpPool::default() };
        let mesh = Mesh::of(&[server.address], pool(TcpPool::default(), http));
        tokio::select! {
            biased;
            got = mesh.get() => panic!("{got:?}"),
            got = mesh.get() => assert_eq!(got, Got::failed(503, "UO", 0)),
        }
    });
}

#[test]
fn who_waits_gets_the_connection_that_comes_free() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let tcp = TcpPool { max_connections: Some(1), ..TcpPool::default() };
        let mesh = Mesh::of(&[server.address], pool(tcp, HttpPool::default()));
        let got = futures::join!(mesh.get(), mesh.get(), mesh.get());
        assert_eq!(got, (Got::good("hello", 1), Got::good("hello", 1), Got::good("hello", 1)));
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn a_limit_is_for_the_connections_of_all_clients_together() {
    run(async {
        let server = Server::of(&[HELLO, Does::Wait]).await;
        let tcp = TcpPool { max_connections: Some(1), ..TcpPool::default() };
        let policy = TrafficPolicy { proxy_protocol: Some(ProxyProtocol::V1), ..pool(tcp, HttpPool::default()) };
        let mesh = Mesh::of(&[server.address], policy);
        assert_eq!(mesh.get().await, Got::good("hello", 1));
        let client = |address: &str| Client { address: PeerAddr::new(address.parse().unwrap()), ..mesh.client.clone() };
        let (second, third) = (client("10.0.0.10:5"), client("10.0.0.11:5"));
        let (second, third) = (Plan { client: &second, ..mesh.plan() }, Plan { client: &third, ..mesh.plan() });
        // The first client's connection is idle, and makes room.
        let mut waits = std::pin::pin!(send(&mesh.worker, &second, request(Method::GET, Body::empty())));
        let asked = async {
            while server.requests.borrow().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut waits => panic!("nothing answers"),
            () = asked => {}
        }
        assert_eq!(server.connections.get(), 2);
        // The second's is not.
        let patience = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = waits => panic!("nothing answers"),
            _ = send(&mesh.worker, &third, request(Method::GET, Body::empty())) => panic!("there is no room"),
            () = patience => {}
        }
        assert_eq!(server.connections.get(), 2);
    });
}

#[test]
fn a_copy_is_sent_once() {
    const UNAVAILABLE: Does = Does::Answer("HTTP/1.1 200 OK\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n");
    run(async {
        let server = Server::of(&[UNAVAILABLE]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default());
        crate::upstream::mirror(&mesh.worker, &mesh.plan(), request(Method::GET, Body::empty()));
        while server.requests.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        // A request of which as much is known is tried three times.
        assert_eq!(mesh.get().await.attempts, 3);
        assert_eq!(server.requests.borrow().len(), 4);
    });
}

#[test]
fn protocols_are_switched() {
    run(async {
        const SWITCH: Does =
            Does::Answer("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nearly");
        let server = Server::of(&[SWITCH]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default());
        let mut request = request(Method::GET, Body::empty());
        request.headers_mut().insert("connection", "upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "chat".parse().unwrap());
        let answer = mesh.send(request).await.unwrap();
        assert_eq!(answer.response.status(), 101);
        assert!(server.requests.borrow()[0].contains("upgrade: chat"));
        let mut stream = answer.upgraded.unwrap();
        let mut early = [0; 5];
        stream.read_exact(&mut early).await.unwrap();
        assert_eq!(&early, b"early");
        // The server reads what it takes for its next request.
        stream.write_all(b"more\r\n\r\n").await.unwrap();
        while server.requests.borrow().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.requests.borrow()[1], "more\r\n\r\n");
    });
}

#[test]
fn an_answer_may_come_before_the_end_of_the_request() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default());
        let (body, _) = crate::upstream::tee(Body::empty(), 0);
        drop(body);
        let endless = http_body_util::StreamBody::new(futures::stream::pending());
        let request = Request::builder().method("GET").uri("/a").header("host", "web");
        let request = request.header("content-length", "0").body(Body::new(endless)).unwrap();
        let answer = mesh.send(request).await.unwrap();
        assert_eq!(answer.response.into_body().collect().await.unwrap().to_bytes(), "hello");
        // That connection is not used again.
        assert_eq!(mesh.get().await, Got::good("hello", 1));
        assert_eq!(server.connections.get(), 2);
    });
}

#[test]
fn a_request_under_way_is_small() {
    run(async {
        let mesh = Mesh::of(&[nobody().await], TrafficPolicy::default());
        let plan = mesh.plan();
        let sending = crate::upstream::send(&mesh.worker, &plan, request(Method::GET, Body::empty()));
        assert!(size_of_val(&sending) <= 4096, "{}", size_of_val(&sending));
    });
}
