//! An API server for tests that is a function: the client above it is the real one.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What was asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// An answer: an object, or the reason why not.
pub(crate) type Answer = Result<Value, (StatusCode, &'static str)>;

/// A client of an API server that answers with `answer`.
pub(crate) fn client(answer: impl Fn(Asked) -> BoxFuture<'static, Answer> + Send + Sync + 'static) -> Client {
    Client::new(FakeApi(Arc::new(answer)), "default")
}

#[derive(Clone)]
struct FakeApi(Arc<dyn Fn(Asked) -> BoxFuture<'static, Answer> + Send + Sync>);

impl tonic::codegen::Service<http::Request<Body>> for FakeApi {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = Arc::clone(&self.0);
        async move {
            let (head, body) = request.into_parts();
            let body = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
            let asked = Asked { method: head.method, path: head.uri.path().to_owned(), body };
            let (status, body) = match answer(asked).await {
                Ok(object) => (StatusCode::OK, object),
                Err((code, reason)) => (
                    code,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16()}),
                ),
            };
            Ok(http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap())
        }
        .boxed()
    }
}
