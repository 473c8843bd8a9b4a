//! A real waypoint, with real connections: a client's tunnel in, a plain backend out.

mod authorizers;
mod long;
mod mesh;
mod tokens;
mod ways_round;

use std::time::Duration;

use ambit_hbone::OpenError;
use ambit_runtime::Outcome;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use crate::http::OnThisThread;
use mesh::{Mesh, echo, read_to};

const HTTP: &str = "10.96.0.1:80";
const TCP: &str = "10.96.0.1:9000";

async fn with_mesh<F: AsyncFnOnce(Mesh)>(more: &str, test: F) {
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = backend.local_addr().unwrap().port();
    let more = more.to_owned();
    LocalSet::new()
        .run_until(Box::pin(async move {
            tokio::task::spawn_local(echo(backend));
            test(Mesh::start(port, &more).await).await;
        }))
        .await;
}

#[tokio::test]
async fn requests_of_http1_go_through_and_the_connection_is_kept() {
    with_mesh("", async |mesh| {
        let mut stream = mesh.open(HTTP).await.unwrap();
        for path in ["/one", "/two"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: web.shop\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_to(&mut stream, "<end>").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(
                answer.contains(&format!("GET {path} HTTP/1.1\r\n")) && answer.contains("host: web.shop"),
                "{answer}"
            );
        }
        drop(stream);
        let metrics = mesh.metrics(|metrics| metrics.contains("istio_requests_total")).await;
        let line = metrics.lines().find(|line| line.starts_with("istio_requests_total{")).unwrap();
        for label in [
            r#"reporter="waypoint""#,
            r#"source_principal="spiffe://cluster.local/ns/shop/sa/client""#,
            r#"destination_service="web.shop.svc.cluster.local""#,
            r#"destination_workload="web-0""#,
            r#"request_protocol="http",response_code="200",grpc_response_status="",response_flags="-""#,
        ] {
            assert!(line.contains(label), "{label} is missing in {line}");
        }
    })
    .await;
}

#[tokio::test]
async fn requests_of_http2_go_through() {
    with_mesh("", async |mesh| {
        let stream = TokioIo::new(mesh.open(HTTP).await.unwrap());
        let (mut send, connection) = hyper::client::conn::http2::handshake(OnThisThread, stream).await.unwrap();
        tokio::task::spawn_local(connection);
        let request = Request::post("http://web.shop/three").body(Full::new(Bytes::from_static(b"body"))).unwrap();
        let answer: Response<_> = send.send_request(request).await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("POST /three"), "{body}");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_bound_to_this_waypoint_is_refused() {
    with_mesh("", async |mesh| {
        for (target, expected) in
            [("10.96.0.2:80", 404), ("10.96.0.1:81", 404), ("127.0.0.1:80", 404), ("10.9.9.9:80", 404)]
        {
            let refused = mesh.open(target).await.unwrap_err();
            assert!(matches!(refused, OpenError::Refused { status } if status == expected), "{target}: {refused:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn policy_and_rules_are_in_force() {
    let objects = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  action: DENY
  rules: [{to: [{operation: {paths: ["/secret*"]}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.svc.cluster.local]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {prefix: /api/}}]
    rewrite: {uri: /}
    route: [{destination: {host: web.shop.svc.cluster.local}}]
"#;
    with_mesh(objects, async |mesh| {
        for (path, status, has) in [
            ("/secret/x", "403", "RBAC: access denied"),
            ("/public/../secret", "403", "RBAC: access denied"),
            ("/old", "301", "location: http://web.shop/new"),
            ("/elsewhere", "404", ""),
            ("/api/things", "200", "GET /things HTTP/1.1"),
        ] {
            let mut stream = mesh.open(HTTP).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: web.shop\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
            assert!(answer.contains(has), "{path}: {answer}");
        }
        // Where HTTP cannot be seen, what is forbidden in part is forbidden.
        let mut stream = mesh.open(TCP).await.unwrap();
        assert!(stream.read(&mut [0; 1]).await.is_err(), "a connection was let through");
    })
    .await;
}

#[tokio::test]
async fn an_upgraded_connection_is_a_stream_of_bytes() {
    with_mesh("", async |mesh| {
        let mut stream = mesh.open(HTTP).await.unwrap();
        let head = "GET /chat HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_to(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        stream.write_all(b"ping<end>").await.unwrap();
        assert_eq!(read_to(&mut stream, "<end>").await, "ping<end>");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    with_mesh("", async |mesh| {
        let mut stream = mesh.open(TCP).await.unwrap();
        assert_eq!(read_to(&mut stream, "\n").await, "220 hello\n");
        stream.write_all(b"bytes<end>").await.unwrap();
        assert_eq!(read_to(&mut stream, "<end>").await, "bytes<end>");
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    })
    .await;
}

#[tokio::test]
async fn ambiguous_requests_get_400() {
    with_mesh("", async |mesh| {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
            "GET / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx",
        ] {
            let mut stream = mesh.open(HTTP).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = read_to(&mut stream, "\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "), "{head:?}: {answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_new_policy_forbids_is_cut() {
    with_mesh("", async |mut mesh| {
        let (mut tcp, mut upgraded) = (mesh.open(TCP).await.unwrap(), mesh.open(HTTP).await.unwrap());
        assert_eq!(read_to(&mut tcp, "\n").await, "220 hello\n");
        let head = "GET /chat HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        upgraded.write_all(head.as_bytes()).await.unwrap();
        read_to(&mut upgraded, "\r\n\r\n").await;
        mesh.change(DENY_CLIENT);
        for stream in [&mut tcp, &mut upgraded] {
            assert!(stream.read(&mut [0; 1]).await.is_err(), "a connection lives on");
        }
        let mut stream = mesh.open(HTTP).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
        assert!(read_to(&mut stream, "\r\n").await.starts_with("HTTP/1.1 403 "));
    })
    .await;
}

const DENY_CLIENT: &str = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-client, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  action: DENY
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]
"#;

#[tokio::test]
async fn a_drain_lets_what_is_open_end() {
    with_mesh("", async |mesh| {
        let mut stream = mesh.open(HTTP).await.unwrap();
        stream.write_all(b"GET /before HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
        read_to(&mut stream, "<end>").await;
        let drained = mesh.drain.finish(Duration::from_secs(60), std::future::pending());
        let client = async {
            // The connection is told to end, not broken.
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            stream.shutdown().await.unwrap();
            drop(stream);
            mesh.hang_up();
        };
        let (outcome, ()) = tokio::join!(drained, client);
        assert_eq!(outcome, Outcome::Drained);
    })
    .await;
}
