//! Requests that go on for long, when policy changes meanwhile.

use ambit_hbone::TunnelStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::mesh::{Mesh, read_to};
use super::{DENY_CLIENT, HTTP, with_mesh};

/// Begins a request whose answer does not end.
async fn begin(mesh: &Mesh, headers: &str) -> TunnelStream {
    let mut stream = mesh.open(HTTP).await.unwrap();
    stream.write_all(format!("GET /endless HTTP/1.1\r\nhost: web\r\n{headers}\r\n").as_bytes()).await.unwrap();
    assert!(read_to(&mut stream, "<end>").await.starts_with("HTTP/1.1 200 "));
    stream
}

/// Reads what is left of an answer; whether it has come to an end as it should.
async fn is_whole(stream: &mut TunnelStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.is_ok() && rest.ends_with(b"0\r\n\r\n")
}

const EVENTS: &str = "accept: text/event-stream\r\n";

#[tokio::test]
async fn what_a_new_policy_forbids_does_not_go_on() {
    with_mesh("", async |mut mesh| {
        let mut streams = [begin(&mesh, "").await, begin(&mesh, EVENTS).await];
        mesh.change(DENY_CLIENT);
        for stream in &mut streams {
            assert!(!is_whole(stream).await);
        }
        mesh.metrics(|metrics| metrics.contains("ambit_policy_cuts_total 2")).await;
    })
    .await;
}

const DENY_BAD: &str = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-bad, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  action: DENY
  rules: [{when: [{key: "request.headers[x-bad]", values: ["1"]}]}]
"#;

#[tokio::test]
async fn streams_and_long_answers_are_judged_by_their_heads() {
    with_mesh("", async |mut mesh| {
        let events = |bad: u8| format!("x-bad: {bad}\r\n{EVENTS}");
        let mut bad = [begin(&mesh, &events(1)).await, begin(&mesh, "x-bad: 1\r\n").await];
        let _good = [begin(&mesh, &events(0)).await, begin(&mesh, "x-bad: 0\r\n").await];
        mesh.change(DENY_BAD);
        for stream in &mut bad {
            assert!(!is_whole(stream).await);
        }
        // All are judged in one go: the good ones were left.
        mesh.metrics(|metrics| metrics.contains("ambit_policy_cuts_total 2")).await;
    })
    .await;
}
