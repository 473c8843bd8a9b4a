//! External authorizers, through a real waypoint.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::mesh::{Mesh, read_to};
use super::{HTTP, TCP, with_mesh};
use crate::http::OnThisThread;

fn objects(provider: &str, port: u16) -> String {
    format!(
        r#"
---
apiVersion: ambit.io/v1alpha1
kind: MeshConfig
metadata: {{name: default, namespace: istio-system}}
spec:
  extensionProviders:
  - name: authorizer
    {provider}
---
apiVersion: v1
kind: Service
metadata: {{name: auth, namespace: shop}}
spec:
  clusterIP: 10.96.0.7
  selector: {{app: auth}}
  ports: [{{name: auth, port: 9000, targetPort: {port}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: auth-0, namespace: shop, labels: {{app: auth}}}}
spec: {{serviceAccountName: auth, nodeName: node-1}}
status: {{podIP: 127.0.0.2, phase: Running, conditions: [{{type: Ready, status: "True"}}]}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ask, namespace: shop}}
spec:
  targetRefs: [{{kind: Service, group: "", name: web}}]
  action: CUSTOM
  provider: {{name: authorizer}}
  rules: [{{to: [{{operation: {{notPaths: [/free]}}}}]}}]
"#
    )
}

async fn ask(mesh: &Mesh, path: &str, more: &str) -> String {
    let mut stream = mesh.open(HTTP).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nhost: web.shop\r\nconnection: close\r\n{more}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn check(mesh: &Mesh, table: &[(&str, &str, u16, &str)]) {
    for (path, more, status, has) in table {
        let answer = ask(mesh, path, more).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains(has), "{path}: {answer}");
    }
}

/// An authorizer that consents to paths with `good`, and says what it was asked.
async fn by_http(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(async |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            let seen = format!("{} {path} {:?}", request.method(), request.headers());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let status = if path.contains("good") {
                200
            } else if path.contains("broken") {
                500
            } else {
                401
            };
            let response = Response::builder().status(status).header("x-user", "me").header("x-why", "because");
            let text = format!("{seen} {}", String::from_utf8_lossy(&body));
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from(text))).unwrap())
        });
        let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::task::spawn_local(serving);
    }
}

#[tokio::test]
async fn an_authorizer_of_http_decides() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let provider = "envoyExtAuthzHttp: {service: auth.shop.svc.cluster.local, port: 9000, pathPrefix: /check, \
                    includeRequestHeadersInCheck: [x-in], headersToUpstreamOnAllow: [x-user], \
                    headersToDownstreamOnAllow: [x-why], \
                    includeRequestBodyInCheck: {maxRequestBytes: 8}}";
    with_mesh(&objects(provider, listener.local_addr().unwrap().port()), async |mesh| {
        tokio::task::spawn_local(by_http(listener));
        check(
            &mesh,
            &[
                ("/free", "\r\n", 200, "POST /free"),
                ("/good", "x-user: forged\r\n\r\n", 200, "x-user: me"),
                ("/good", "\r\n", 200, "x-why: because"),
                ("/bad", "\r\n", 401, "POST /check/bad"),
                ("/bad", "x-in: seen\r\nx-out: not\r\n\r\n", 401, "\"x-in\": \"seen\""),
                ("/bad", "content-length: 4\r\n\r\nbody", 401, " body"),
                ("/bad", "content-length: 9\r\n\r\nlong body", 413, ""),
                ("/broken", "\r\n", 403, ""),
            ],
        )
        .await;
        let answer = ask(&mesh, "/bad", "x-out: not\r\n\r\n").await;
        assert!(!answer.contains("x-out"), "{answer}");
        let answer = ask(&mesh, "/good", "x-user: forged\r\n\r\n").await;
        assert!(!answer.contains("forged"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn who_is_to_be_asked_about_what_another_changed_is_asked() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let provider = "envoyExtAuthzHttp: {service: auth.shop.svc.cluster.local, port: 9000, \
                    headersToUpstreamOnAllow: [x-user]}\n  - name: second\n    \
                    envoyExtAuthzGrpc: {service: away.shop.svc.cluster.local, port: 9000}";
    let second = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: second, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  action: CUSTOM
  provider: {name: second}
  rules: [{when: [{key: "request.headers[x-user]", values: [me]}]}]
"#;
    let objects = objects(provider, listener.local_addr().unwrap().port()) + second;
    with_mesh(&objects, async |mesh| {
        tokio::task::spawn_local(by_http(listener));
        check(&mesh, &[("/free", "\r\n", 200, ""), ("/good", "\r\n", 403, "")]).await;
    })
    .await;
}

/// An authorizer that consents where the request has a header, to clients of one identity.
async fn by_grpc(listener: TcpListener) {
    const OK: &[u8] = &[0, 0, 0, 0, 4, 0x0a, 0, 0x1a, 0];
    const PERMISSION_DENIED: &[u8] = &[0, 0, 0, 0, 4, 0x0a, 2, 8, 7];
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(async |request: Request<Incoming>| {
            assert_eq!(request.uri().path(), "/envoy.service.auth.v3.Authorization/Check");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            let is_client = body.contains("spiffe://cluster.local/ns/shop/sa/client");
            let message = if is_client && body.contains("/good") { OK } else { PERMISSION_DENIED };
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let body = Full::new(Bytes::from_static(message)).with_trailers(async { Some(Ok(trailers)) });
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(response.body(body).unwrap())
        });
        let serving = hyper::server::conn::http2::Builder::new(OnThisThread);
        tokio::task::spawn_local(serving.serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::test]
async fn an_authorizer_of_grpc_decides() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let provider = "envoyExtAuthzGrpc: {service: auth.shop.svc.cluster.local, port: 9000}";
    with_mesh(&objects(provider, listener.local_addr().unwrap().port()), async |mesh| {
        tokio::task::spawn_local(by_grpc(listener));
        check(&mesh, &[("/good", "\r\n", 200, "POST /good"), ("/bad", "\r\n", 403, ""), ("/free", "\r\n", 200, "")])
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_authorizer_that_is_away_denies_or_not_as_said() {
    for (more, status) in [("", 403), (", statusOnError: '503'", 503), (", failOpen: true", 200)] {
        let provider = format!("envoyExtAuthzGrpc: {{service: auth.shop.svc.cluster.local, port: 9000{more}}}");
        // Nothing listens there.
        with_mesh(&objects(&provider, 1), async |mesh| {
            check(&mesh, &[("/good", "\r\n", status, ""), ("/free", "\r\n", 200, "")]).await;
        })
        .await;
    }
}

/// An authorizer that consents to clients of one identity, for an address, without HTTP; or to nobody.
async fn of_bytes(listener: TcpListener, consents: bool) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            let is_known = body.contains("spiffe://cluster.local/ns/shop/sa/client") && body.contains("10.96.0.1");
            let code = if consents && is_known && !body.contains("HTTP") { 0 } else { 7 };
            let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 4, 0x0a, 2, 8, code]);
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let body = Full::new(message).with_trailers(async { Some(Ok(trailers)) });
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(response.body(body).unwrap())
        });
        let serving = hyper::server::conn::http2::Builder::new(OnThisThread);
        tokio::task::spawn_local(serving.serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::test]
async fn connections_that_are_no_http_are_decided_about_by_grpc_alone() {
    let (grpc, http) = ("envoyExtAuthzGrpc", "envoyExtAuthzHttp");
    for (kind, is_there, more, consents, passes) in [
        (grpc, true, "", true, true),
        (grpc, true, "", false, false),
        (grpc, false, "", true, false),
        (grpc, false, ", failOpen: true", true, true),
        (http, true, ", failOpen: true", true, false),
    ] {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let provider = format!("{kind}: {{service: auth.shop.svc.cluster.local, port: 9000{more}}}");
        // Nothing listens on port 1.
        let port = if is_there { listener.local_addr().unwrap().port() } else { 1 };
        with_mesh(&objects(&provider, port), async |mesh| {
            tokio::task::spawn_local(of_bytes(listener, consents));
            let mut stream = mesh.open(TCP).await.unwrap();
            if passes {
                assert_eq!(read_to(&mut stream, "\n").await, "220 hello\n");
            } else {
                let mut read = Vec::new();
                // Reset or closed.
                stream.read_to_end(&mut read).await.ok();
                assert!(read.is_empty(), "{kind}{more} {consents}");
            }
        })
        .await;
    }
}
