//! Step 1: accept. The listeners of a pod on one worker, and what each of their connections becomes.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ambit_model::PeerAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

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
    /// Its place among the pod's connections; `None` if there was none left.
    pub(crate) place: Option<Place>,
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

/// One of the places a pod's connections have on this worker.
pub(crate) struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(used: &Rc<Cell<usize>>, limit: usize) -> Option<Self> {
        let now = used.get();
        (now < limit).then(|| {
            used.set(now + 1);
            Self(Rc::clone(used))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Serves a pod until `stop`.
pub(crate) fn serve(worker: &Rc<Worker>, pod: &SharedPod, listeners: Listeners, stop: &CancellationToken) {
    for listener in listeners.outbound {
        spawn(worker, pod, listener, stop, outbound::serve);
    }
    for listener in listeners.plaintext {
        spawn(worker, pod, listener, stop, plaintext::serve);
    }
    for listener in listeners.hbone {
        spawn(worker, pod, listener, stop, inbound::serve);
    }
}

fn spawn<F: Future<Output = ()> + 'static>(
    worker: &Rc<Worker>,
    pod: &SharedPod,
    listener: std::net::TcpListener,
    stop: &CancellationToken,
    handle: impl Fn(Rc<Worker>, Accepted) -> F + 'static,
) {
    let (worker, pod, stop) = (Rc::clone(worker), SharedPod::clone(pod), stop.clone());
    tokio::task::spawn_local(async move {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(pod = %pod.uid, %error, "cannot serve a listener"),
        };
        let used = Rc::new(Cell::new(0));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let place = Place::take(&used, worker.max_connections_per_pod);
                    let (stream, peer) = (Captured(Some(stream)), PeerAddr::new(peer));
                    let (pod, stop) = (SharedPod::clone(&pod), stop.clone());
                    let accepted = Accepted { stream, peer, pod, stop, place };
                    tokio::task::spawn_local(handle(Rc::clone(&worker), accepted));
                }
                Err(error) => refused(&pod, &error).await,
            }
        }
    });
}

/// The peer may be gone already, which is nothing; or we are out of something, which will pass.
async fn refused(pod: &SharedPod, error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!(pod = %pod.uid, %error, "cannot accept a connection");
        tokio::time::sleep(PAUSE_WITHOUT_DESCRIPTORS).await;
    }
}
