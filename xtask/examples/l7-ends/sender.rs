//! A connection that requests are sent on, one after the other.

use ambit_hbone::TunnelStream;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;

use crate::serve::ANSWER;

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speak {
    Http1,
    Http2,
    /// With a message of 1 KiB each way.
    Grpc,
}

/// A connection.
pub(crate) struct Sender {
    speak: Speak,
    send: Send,
}

enum Send {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    /// A new one in a stream.
    pub(crate) async fn new(stream: TunnelStream, speak: Speak) -> Result<Self> {
        let io = TokioIo::new(stream);
        let send = if speak == Speak::Http1 {
            let (send, connection) = http1::handshake(io).await?;
            spawn_local(connection);
            Send::Http1(send)
        } else {
            let (send, connection) = http2::handshake(OnThisThread, io).await?;
            spawn_local(connection);
            Send::Http2(send)
        };
        Ok(Self { speak, send })
    }

    /// Asks for a path, and reads the answer to its end.
    pub(crate) async fn ask(&mut self, path: &str) -> Result<()> {
        let request = self.request(path)?;
        let response = match &mut self.send {
            Send::Http1(send) => {
                send.ready().await?;
                send.send_request(request).await?
            }
            Send::Http2(send) => {
                send.ready().await?;
                send.send_request(request).await?
            }
        };
        let status = response.status();
        let body = response.into_body().collect().await?;
        ensure!(status == 200, "answered {status}");
        if self.speak == Speak::Grpc {
            let trailers = body.trailers().context("no trailers")?;
            ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "a gRPC error");
        }
        let length = body.to_bytes().len();
        ensure!(length == ANSWER.len(), "an answer of {length} bytes");
        Ok(())
    }

    fn request(&self, path: &str) -> Result<Request<Full<Bytes>>> {
        let host = "web.shop.svc.cluster.local";
        let request = match self.speak {
            Speak::Http1 => Request::get(path).header("host", host),
            Speak::Http2 => Request::get(format!("http://{host}{path}")).version(Version::HTTP_2),
            Speak::Grpc => Request::builder()
                .method(Method::POST)
                .uri(format!("http://{host}{path}"))
                .version(Version::HTTP_2)
                .header("content-type", "application/grpc")
                .header("te", "trailers"),
        };
        let body = if self.speak == Speak::Grpc { Bytes::from_static(&ANSWER) } else { Bytes::new() };
        Ok(request.body(Full::new(body))?)
    }
}

/// Runs HTTP/2's tasks where their streams live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}
