//! Ways round policy that are closed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::mesh::{Mesh, read_to};
use super::{HTTP, TCP, with_mesh};

/// Another service behind the same waypoint, whose policy forbids a path of it, and rules of the first that lead there.
const ADMIN: &str = r#"
---
apiVersion: v1
kind: Service
metadata: {name: admin, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec:
  clusterIP: 10.96.0.3
  selector: {app: web}
  ports:
  - {name: http, port: 8080, targetPort: $PORT}
  - {name: any, port: 9000, targetPort: $PORT}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: admin}]
  action: DENY
  rules:
  - to: [{operation: {paths: ["/to-admin/secret"], ports: ["8080"]}}]
  - to: [{operation: {ports: ["9000"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.svc.cluster.local]
  http:
  - match: [{uri: {prefix: /to-admin}}]
    rewrite: {uri: /}
    route: [{destination: {host: admin.shop.svc.cluster.local, port: {number: 8080}}}]
  - route: [{destination: {host: web.shop.svc.cluster.local}}]
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: admin.shop.svc.cluster.local, port: {number: 9000}}}]
"#;

async fn ask(mesh: &Mesh, target: &str, head: &str) -> String {
    let mut stream = mesh.open(target).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(mesh: &Mesh, target: &str, path: &str) -> String {
    ask(mesh, target, &format!("GET {path} HTTP/1.1\r\nhost: web.shop\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_rule_that_leads_to_another_service_does_not_pass_over_its_policies() {
    with_mesh(ADMIN, async |mesh| {
        for (path, status) in [("/free", 200), ("/to-admin/free", 200), ("/to-admin/secret", 403)] {
            let answer = get(&mesh, HTTP, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        }
        let mut stream = mesh.open(TCP).await.unwrap();
        assert!(stream.read(&mut [0; 1]).await.is_err(), "a connection was let through");
    })
    .await;
}

#[tokio::test]
async fn a_pods_own_address_does_not_pass_over_the_policies_of_its_service() {
    let objects = r#"
---
apiVersion: v1
kind: Service
metadata: {name: direct, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec:
  clusterIP: 10.96.0.4
  selector: {app: direct}
  ports: [{name: http, port: 80, targetPort: 81}]
---
apiVersion: v1
kind: Pod
metadata: {name: direct-0, namespace: shop, labels: {app: direct, istio.io/use-waypoint: waypoint}}
spec: {serviceAccountName: web, nodeName: node-1}
status: {podIP: 127.0.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: direct}]
  action: DENY
  rules: [{to: [{operation: {paths: [/secret], ports: ["80"]}}]}]
"#;
    with_mesh(objects, async |mesh| {
        // Nothing listens there: what is let through gets 503.
        for (target, path, status) in
            [("127.0.0.2:81", "/free", 503), ("127.0.0.2:81", "/secret", 403), ("127.0.0.2:82", "/secret", 503)]
        {
            let answer = get(&mesh, target, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target} {path}: {answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_leaves_the_waypoint_is_served_no_longer() {
    with_mesh("", async |mut mesh| {
        let mut streams = [mesh.open(TCP).await.unwrap(), mesh.open(HTTP).await.unwrap()];
        let mut kept = mesh.open(HTTP).await.unwrap();
        read_to(&mut streams[0], "\n").await;
        let head = "GET /chat HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        streams[1].write_all(head.as_bytes()).await.unwrap();
        read_to(&mut streams[1], "\r\n\r\n").await;
        kept.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
        assert!(read_to(&mut kept, "<end>").await.starts_with("HTTP/1.1 200 "));
        mesh.unbind();
        for stream in &mut streams {
            assert!(stream.read(&mut [0; 1]).await.is_err(), "a connection lives on");
        }
        kept.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
        assert!(read_to(&mut kept, "\r\n").await.starts_with("HTTP/1.1 404 "));
    })
    .await;
}

#[tokio::test]
async fn what_the_mesh_says_to_backends_no_client_can_say_or_unsay() {
    with_mesh("", async |mesh| {
        for (head, has, not) in [
            ("GET / HTTP/1.0\r\n", "host: web.shop.svc.cluster.local\r\n", "host: \r\n"),
            (
                "GET https://web/ HTTP/1.1\r\nhost: web\r\nx-forwarded-proto: https\r\n",
                "x-forwarded-proto: http\r\n",
                "https",
            ),
            (
                "GET / HTTP/1.1\r\nhost: web\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n",
                "x-forwarded-for: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\n",
                "x-forwarded-for: 5",
            ),
            (
                "GET / HTTP/1.1\r\nhost: web\r\nconnection: x-forwarded-proto, x-request-id, x-mine\r\nx-mine: 1\r\n",
                "x-forwarded-proto: http\r\n",
                "x-mine",
            ),
            (
                "GET / HTTP/1.1\r\nhost: web\r\nx-envoy-original-path: /secret\r\n",
                "x-request-id: ",
                "x-envoy-original-path",
            ),
            (
                "GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: h2c, websocket\r\n",
                "GET / HTTP/1.1\r\n",
                "upgrade",
            ),
        ] {
            let mut stream = mesh.open(HTTP).await.unwrap();
            stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
            let answer = read_to(&mut stream, "<end>").await;
            assert!(answer.contains(" 200 OK\r\n") && answer.contains(has), "{head}: {answer}");
            assert!(!answer.contains(not), "{head}: {answer}");
        }
        let answer = ask(&mesh, HTTP, "CONNECT web:80 HTTP/1.1\r\nhost: web:80\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        let answer = ask(&mesh, HTTP, "GET / HTTP/1.1\r\nhost: web:\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_path_cannot_leave_the_folder_it_is_led_to() {
    let objects = r#"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.svc.cluster.local]
  http:
  - match: [{uri: {prefix: /a}}]
    rewrite: {uri: /public/}
    route: [{destination: {host: web.shop.svc.cluster.local}}]
"#;
    with_mesh(objects, async |mesh| {
        let answer = get(&mesh, HTTP, "/a./b").await;
        assert!(answer.contains("GET /public/b HTTP/1.1"), "{answer}");
        let answer = get(&mesh, HTTP, "/a../secret").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn where_tokens_are_wanted_nothing_but_http_goes_through() {
    let objects = r#"
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  jwtRules: [{issuer: us, jwksUri: "http://127.0.0.1:1/keys"}]
"#;
    with_mesh(objects, async |mesh| {
        let answer = ask(&mesh, TCP, "hello\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let mut stream = mesh.open(TCP).await.unwrap();
        stream.write_all(b"\r\nGET / HTTP/1.1\r\nhost: web\r\nauthorization: Bearer a.b.c\r\n\r\n").await.unwrap();
        assert!(read_to(&mut stream, "\r\n").await.starts_with("HTTP/1.1 401 "));
    })
    .await;
}

#[tokio::test]
async fn an_address_is_believed_where_it_can_be_the_clients() {
    with_mesh("", async |mesh| {
        // Unknown; that of a workload of another identity; those no client can have.
        for (said, expected) in [
            ("10.0.0.77", "10.0.0.77"),
            ("10.0.0.10", "127.0.0.1"),
            ("169.254.169.254", "127.0.0.1"),
            ("127.0.0.9", "127.0.0.1"),
        ] {
            let mut stream = mesh.open_from(HTTP, said).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
            let answer = read_to(&mut stream, "<end>").await;
            assert!(answer.contains(&format!("x-forwarded-for: {expected}\r\n")), "{said}: {answer}");
        }
    })
    .await;
}
