//! Step 1: accept. The listeners of a pod on one worker, and what each of their connections becomes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ambit_model::PeerAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::places::Places;
use crate::pod::{Listeners, SharedPod};
use crate::worker::Worker;
use crate::{inbound, outbound, plaintext};

/// How long to pause when the process has no descriptors left: accepting again at once would fail
/// again at once.
const PAUSE_WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(50);

/// A connection just accepted.
pub(crate) struct Accepted {
    /// The connection.
    pub(crate) stream: Captured,
    /// Its other end.
    pub(crate) peer: PeerAddr,
    /// The pod it was accepted in.
    pub(crate) pod: SharedPod,
    /// Cancelled when the pod takes no more connections.
    pub(crate) stop: CancellationToken,
    /// How many the pod may have.
    pub(crate) places: Rc<Places>,
}

/// A captured connection that nothing was done with yet: dropped, it is reset. An ordinary close would
/// look to its application like a server that had nothing to say.
pub(crate) struct Captured(Option<TcpStream>);

impl Captured {
    /// The address it was accepted on.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    /// The connection, whose end is now the caller's business.
    #[expect(clippy::expect_used, reason = "taken by value, so never before")]
    pub(crate) fn take(mut self) -> TcpStream {
        self.0.take().expect("only this takes it, and it takes self")
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(TcpStream::set_zero_linger) {
            tracing::debug!(%error, "a connection could not be reset, it will be closed");
        }
    }
}

/// Serves a pod until `stop`.
pub(crate) fn serve(worker: &Rc<Worker>, pod: &SharedPod, listeners: Listeners, stop: &CancellationToken) {
    let served = Served {
        worker: Rc::clone(worker),
        pod: SharedPod::clone(pod),
        stop: stop.clone(),
        places: Places::new(worker.max_connections_per_pod),
    };
    for listener in listeners.outbound {
        served.clone().spawn(listener, outbound::serve);
    }
    for listener in listeners.plaintext {
        served.clone().spawn(listener, plaintext::serve);
    }
    for listener in listeners.hbone {
        served.clone().spawn(listener, inbound::serve);
    }
}

/// A pod and what all its listeners share.
#[derive(Clone)]
struct Served {
    worker: Rc<Worker>,
    pod: SharedPod,
    stop: CancellationToken,
    places: Rc<Places>,
}

impl Served {
    fn spawn<F: Future<Output = ()> + 'static>(
        self,
        listener: std::net::TcpListener,
        handle: impl Fn(Rc<Worker>, Accepted) -> F + 'static,
    ) {
        tokio::task::spawn_local(async move {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(pod = %self.pod.uid, %error, "cannot serve a listener"),
            };
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        let accepted = self.accepted(stream, PeerAddr::new(peer));
                        tokio::task::spawn_local(handle(Rc::clone(&self.worker), accepted));
                    }
                    Err(error) => refused(&self.pod, &error).await,
                }
            }
        });
    }

    fn accepted(&self, stream: TcpStream, peer: PeerAddr) -> Accepted {
        Accepted {
            stream: Captured(Some(stream)),
            peer,
            pod: SharedPod::clone(&self.pod),
            stop: self.stop.clone(),
            places: Rc::clone(&self.places),
        }
    }
}

/// The peer may be gone already, which is nothing; or we are out of something, which will pass.
async fn refused(pod: &SharedPod, error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!(pod = %pod.uid, %error, "cannot accept a connection");
        tokio::time::sleep(PAUSE_WITHOUT_DESCRIPTORS).await;
    }
}
