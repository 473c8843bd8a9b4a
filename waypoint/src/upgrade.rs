//! Connections that switch to WebSocket, by HTTP/1's upgrade or HTTP/2's extended CONNECT. Once the backend has agreed, bytes
//! go both ways, for as long as policy allows.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use ambit_telemetry::{Bytes, ResponseFlag};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::judged::Registered;
use crate::plan::ByteStream;
use crate::pump::pump;
use crate::telemetry::Record;
use crate::worker::Worker;

/// How the client's side of a connection is had once it has switched.
pub(crate) enum Downstream {
    /// HTTP/1: the connection as a whole; whoever serves it looks here.
    Http1(Rc<RefCell<Option<Upgrade>>>),
    /// HTTP/2: the stream.
    Http2(OnUpgrade),
}

/// The backend's side, and what is kept of the request for as long as bytes go.
pub(crate) struct Upgrade {
    /// The backend's side.
    pub(crate) server: Box<dyn ByteStream>,
    /// Its place among those that are judged again.
    pub(crate) registered: Registered,
    /// The request's record, which is closed with the connection.
    pub(crate) record: Record,
}

impl Upgrade {
    /// Carries bytes from when the client's side is there: at once the answer is on its way.
    pub(crate) fn begin(self, worker: &Rc<Worker>, downstream: Downstream) {
        match downstream {
            Downstream::Http1(handoff) => drop(handoff.borrow_mut().replace(self)),
            Downstream::Http2(stream) => {
                let worker = Rc::clone(worker);
                tokio::task::spawn_local(async move {
                    let _open = worker.drain.hold();
                    if let Ok(stream) = stream.await {
                        self.carry(&worker, TokioIo::new(stream)).await;
                    }
                });
            }
        }
    }

    /// Carries bytes until both sides have ended, or must.
    pub(crate) async fn carry(mut self, worker: &Worker, client: impl AsyncRead + AsyncWrite + Unpin) {
        let bytes = Bytes::default();
        let end: io::Result<()> = tokio::select! {
            biased;
            reason = self.registered.cut() => {
                tracing::info!(%reason, "cut an upgraded connection");
                self.record.facts.details = "policy_changed".into();
                Ok(())
            }
            () = worker.drain.cut_off().cancelled() => Ok(()),
            end = pump(client, self.server, &bytes) => end,
        };
        if end.is_err() {
            self.record.facts.flags.insert(ResponseFlag::DownstreamConnectionTermination);
        }
        self.record.request_bytes += bytes.sent.into_inner();
        self.record.response_bytes += bytes.received.into_inner();
    }
}
