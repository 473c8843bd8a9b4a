//! The endpoints of the process, over real HTTP on the loopback address.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_telemetry::{LogFormat, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Routes, serve};
use crate::admin::{self, AdminError};
use crate::{Readiness, metrics, readiness};

/// A running server.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(routes: Routes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve(listener, Arc::new(routes), stop.clone()));
        Self { address, stop, task }
    }

    /// Sends bytes and reads what comes until the server closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses to read all it was sent resets the connection after its answer.
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8(answer).unwrap()
    }

    /// Sends a request without a body; gives the answer's status, head and body.
    async fn ask(&self, request: &str) -> (u16, String, String) {
        parse(&self.raw(&format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await)
    }
}

fn parse(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap().split(' ').next().unwrap();
    (status.parse().unwrap(), head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn readiness_answers_with_the_reasons() {
    let readiness = Readiness::default();
    let server = Server::start(readiness::routes(readiness.clone())).await;
    let (state, capture) = (readiness.condition("state"), readiness.condition("capture"));
    capture.failed("kernel too old");
    let (status, _, body) = server.ask("GET /healthz/ready").await;
    assert_eq!((status, &*body), (503, "capture: kernel too old\nstate: not yet\n"));
    state.ok();
    capture.ok();
    let (status, _, body) = server.ask("GET /healthz/ready").await;
    assert_eq!((status, &*body), (200, "ready\n"));
}

#[tokio::test]
async fn metrics_are_served_under_both_names() {
    let server = Server::start(metrics::routes(Arc::new(Metrics::new("ztunnel", "1")))).await;
    for path in ["/metrics", "/stats/prometheus"] {
        let (status, head, body) = server.ask(&format!("GET {path}")).await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("\nistio_build{component=\"ztunnel\",tag=\"1\"} 1\n"), "{body}");
    }
    let request = "GET /metrics HTTP/1.1\r\nhost: node\r\naccept: application/openmetrics-text\r\n\r\n";
    let (_, head, body) = parse(&server.raw(request).await);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn admin_shows_sets_and_stops() {
    let stop = CancellationToken::new();
    let level = ambit_telemetry::init(LogFormat::Text, "error").unwrap();
    let server = Server::start(admin::routes(level, stop.clone())).await;
    // In order: what one sets, the next sees.
    let cases = [
        ("GET /logging", 200, "error\n"),
        ("POST /logging?level=warn,ambit%3Derror", 200, "ambit=error,warn\n"),
        (
            "POST /logging?level=a%3Db%3Dc",
            400,
            "\"a=b=c\" is not a log filter such as `info` or `info,ambit_hbone=debug`\n",
        ),
        ("POST /logging", 400, "say ?level=...\n"),
        ("GET /logging", 200, "ambit=error,warn\n"),
        ("DELETE /logging", 405, "not with this method\n"),
        ("GET /quitquitquit", 405, "not with this method\n"),
        ("GET /nothing", 404, "no such page; / lists what there is\n"),
    ];
    for (request, status, body) in cases {
        let (found, _, text) = server.ask(request).await;
        assert_eq!((found, &*text), (status, body), "{request}");
    }
    let (_, head, _) = server.ask("DELETE /logging").await;
    assert!(head.contains("\r\nallow: GET, POST"), "{head}");
    let (_, _, list) = server.ask("GET /").await;
    let listed: Vec<_> =
        list.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(listed, ["GET /logging", "POST /logging", "POST /quitquitquit"]);

    let foreign = server.raw("POST /quitquitquit HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(parse(&foreign).0, 403);
    assert!(!stop.is_cancelled());
    assert_eq!(server.ask("POST /quitquitquit").await.0, 200);
    assert!(stop.is_cancelled());
}

#[tokio::test]
async fn admin_listens_on_loopback_only() {
    for address in ["0.0.0.0:0", "[::]:0", "10.0.0.1:15000", "[::ffff:10.0.0.1]:0"] {
        let refused = admin::bind(address.parse().unwrap()).unwrap_err();
        assert!(matches!(refused, AdminError::NotLoopback(_)), "{address}: {refused}");
    }
    // A predecessor shares its port; a stranger does not.
    let predecessor = admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    admin::bind(predecessor.local_addr().unwrap()).unwrap();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(admin::bind(stranger.local_addr().unwrap()), Err(AdminError::Bind { .. })));
}

#[tokio::test]
async fn requests_are_bounded_in_bytes() {
    let server = Server::start(readiness::routes(Readiness::default())).await;
    let body = "x".repeat(5000);
    let cases = [
        ("a long head", format!("GET /healthz/ready HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(9000)), 431),
        ("many headers", format!("GET /healthz/ready HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(65)), 431),
        ("a long body", format!("POST /healthz/ready HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()), 413),
        ("a short body", "POST /healthz/ready HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc".to_owned(), 405),
        ("no HTTP at all", "\u{16}\u{3}\u{1} hello\r\n\r\n".to_owned(), 400),
    ];
    for (case, request, expected) in cases {
        assert_eq!(parse(&server.raw(&request).await).0, expected, "{case}");
    }
    assert_eq!(server.ask("GET /healthz/ready").await.0, 503, "it serves on");
}

/// The paused clock jumps as soon as all are waiting: what does not end by itself, times out.
#[tokio::test(start_paused = true)]
async fn requests_are_bounded_in_time() {
    let server = Server::start(readiness::routes(Readiness::default())).await;
    for stuck in ["", "GET /heal", "POST /healthz/ready HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc"] {
        server.raw(stuck).await;
    }
    // More idle connections than there are places: the one that asks is served once they time out.
    let mut idle = Vec::new();
    for _ in 0..130 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(server.ask("GET /healthz/ready").await.0, 503);
}

#[tokio::test]
async fn a_stopped_server_closes_its_port_and_its_connections() {
    let server = Server::start(readiness::routes(Readiness::default())).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.ask("GET /healthz/ready").await.0, 503);
    server.stop.cancel();
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!matches!(idle.read(&mut [0; 8]).await, Ok(1..)));
}
