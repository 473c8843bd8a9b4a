use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::fake_api;

const AUDIENCE: &str = "istio-ca";

/// What an API server of today says of the node agent's token.
fn accepted() -> Value {
    json!({
        "authenticated": true,
        "audiences": [AUDIENCE],
        "user": {
            "username": "system:serviceaccount:ambit-system:ztunnel",
            "groups": ["system:serviceaccounts"],
            "extra": {
                "authentication.kubernetes.io/node-name": ["n1"],
                "authentication.kubernetes.io/node-uid": ["8e8c"],
                "authentication.kubernetes.io/pod-name": ["ztunnel-x"],
                "authentication.kubernetes.io/pod-uid": ["17d1"],
            }
        }
    })
}

fn agent() -> Caller {
    Caller {
        namespace: "ambit-system".to_owned(),
        service_account: "ztunnel".to_owned(),
        pod: Some(BoundPod { name: "ztunnel-x".to_owned(), uid: "17d1".to_owned() }),
        node: Some("n1".to_owned()),
        waypoint: None,
    }
}

/// Tokens whose API server answers this, and how often it was asked.
fn tokens(answer: impl Fn(&str) -> fake_api::Answer + Send + Sync + 'static) -> (Tokens, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let client = fake_api::client(move |asked| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(asked.path, "/apis/authentication.k8s.io/v1/tokenreviews");
        assert_eq!(asked.body["spec"]["audiences"], json!([AUDIENCE]));
        let answer = answer(asked.body["spec"]["token"].as_str().unwrap());
        async { answer }.boxed()
    });
    (Tokens::new(client, AUDIENCE), asked)
}

fn review(status: &Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}, "status": status})
}

#[test]
fn the_answer_is_read_with_care() {
    let of = |path: &str, value: Value| {
        let mut status = accepted();
        *status.pointer_mut(path).unwrap() = value;
        status
    };
    let extra = |name: &str, value: Value| of(&format!("/user/extra/authentication.kubernetes.io~1{name}"), value);
    let nobody =
        |username: &str| (of("/user/username", json!(username)), Err(Refusal::NoServiceAccount(username.to_owned())));
    let audience = Err(Refusal::Audience(AUDIENCE));
    let no_pod = Ok(Caller { pod: None, ..agent() });
    for (status, expected) in [
        (accepted(), Ok(agent())),
        (of("/authenticated", json!(false)), Err(Refusal::NotAccepted(String::new()))),
        (json!({"error": "expired"}), Err(Refusal::NotAccepted("expired".to_owned()))),
        (json!({}), Err(Refusal::NotAccepted(String::new()))),
        (of("/audiences", json!([])), audience.clone()),
        (of("/audiences", json!(["https://kubernetes.default.svc"])), audience.clone()),
        (of("/audiences", Value::Null), audience),
        (of("/audiences", json!(["other", AUDIENCE])), Ok(agent())),
        nobody("admin"),
        nobody("system:node:n1"),
        nobody("system:serviceaccount:"),
        nobody("system:serviceaccount:a:"),
        nobody("system:serviceaccount::b"),
        (extra("pod-uid", json!([])), no_pod.clone()),
        (extra("pod-name", json!(["a", "b"])), no_pod),
        (extra("node-name", json!(["n1", "n2"])), Ok(Caller { node: None, ..agent() })),
        (of("/user/extra", json!({})), Ok(Caller { node: None, pod: None, ..agent() })),
    ] {
        let read = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(caller(read, AUDIENCE), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_remembered_for_a_short_time() {
    let (tokens, asked) =
        tokens(|token| Ok(review(&if token == "good" { accepted() } else { json!({"authenticated": false}) })));
    let count = || asked.load(Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(tokens.authenticate("good").await, Ok(agent()));
        assert!(matches!(tokens.authenticate("bad").await, Err(AuthError::Refused { .. })));
    }
    assert_eq!(count(), 2);
    tokio::time::advance(REFUSED).await;
    tokens.authenticate("good").await.unwrap();
    tokens.authenticate("bad").await.unwrap_err();
    assert_eq!(count(), 3, "the bad one was asked about again");
    tokio::time::advance(BELIEVED).await;
    tokens.authenticate("good").await.unwrap();
    assert_eq!(count(), 4);
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_not_a_refusal() {
    let (tokens, asked) = tokens(|token| match token {
        "overloaded" => Err((StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
        "forbidden" => Err((StatusCode::FORBIDDEN, "Forbidden")),
        _ => Err((StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
    });
    for token in ["overloaded", "forbidden", "any"] {
        let error = tokens.authenticate(token).await.unwrap_err();
        assert!(matches!(error, AuthError::Unavailable { .. }), "{error:?}");
    }
    let before = asked.load(Ordering::Relaxed);
    tokens.authenticate("any").await.unwrap_err();
    assert!(asked.load(Ordering::Relaxed) > before, "it is not remembered");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_is_not_waited_for() {
    let client = fake_api::client(|_| std::future::pending().boxed());
    let tokens = Tokens::new(client, AUDIENCE);
    let error = tokio::time::timeout(2 * PATIENCE, tokens.authenticate("any")).await.unwrap().unwrap_err();
    assert!(matches!(error, AuthError::Unavailable { .. }), "{error:?}");
}
