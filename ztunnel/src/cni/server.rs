//! The socket the plugin asks at.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ambit_cni::{ANSWER_WITHIN, Answer, Command, MAX_MESSAGE, Request};
use ambit_runtime::Drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::Pods;
use crate::failure::error_chain;

/// Most plugins served at once; more wait. A kubelet starts fewer pods at a time.
const MAX_CALLS: usize = 256;

/// How long a plugin may take to say what it wants, and to take the answer. It does both at once.
const TALK: Duration = Duration::from_secs(2);

/// How long an answer may take: less than the plugin's patience, so that the pod's events say why.
const DECIDE: Duration = ANSWER_WITHIN.saturating_sub(Duration::from_secs(2));

/// After a failure to accept, when files or memory are short.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the plugin cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for the CNI plugin on {path}")]
pub(crate) struct ListenError {
    path: PathBuf,
    source: io::Error,
}

/// Listens where the plugin asks, for root alone, in the place of whoever listened there before.
pub(super) fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    let bind = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Under another name first: nobody connects before it is root's alone, and none finds nobody where
        // an earlier agent has left its socket.
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok(listener)
    };
    bind().map_err(|source| ListenError { path: path.to_owned(), source })
}

/// Serves until the drain begins. The socket's file stays: it may be a successor's.
pub(super) async fn serve(listener: UnixListener, pods: Arc<impl Pods>, drain: Drain) {
    let places = Arc::new(Semaphore::new(MAX_CALLS));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = drain.begun().cancelled() => return,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (pods, held, begun) = (Arc::clone(&pods), drain.hold(), drain.begun().clone());
                tokio::spawn(async move {
                    let _until_answered = (held, place);
                    let deleted = call(stream, &*pods, begun.cancelled()).await;
                    if let Err(error) = deleted {
                        tracing::warn!(%error, "a CNI plugin was not served");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept the CNI plugin");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one plugin.
async fn call(mut stream: UnixStream, pods: &impl Pods, stopping: impl Future<Output = ()>) -> io::Result<()> {
    let mut message = Vec::new();
    let limit = MAX_MESSAGE as u64 + 1;
    tokio::time::timeout(TALK, (&mut stream).take(limit).read_to_end(&mut message)).await??;
    if message.len() > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let answer = match Request::parse(&message) {
        Ok(request) => answer(request, pods, stopping).await,
        Err(error) => refused(error_chain(&error)),
    };
    let answer = serde_json::to_vec(&answer)?;
    tokio::time::timeout(TALK, stream.write_all(&answer)).await?
}

async fn answer(request: Request, pods: &impl Pods, stopping: impl Future<Output = ()>) -> Answer {
    let (command, pod) = (request.command, format!("{}/{}", request.namespace, request.pod));
    let decide = async {
        match command {
            Command::Add => pods.added(request).await,
            Command::Check => pods.checked(request).await,
            Command::Delete => {
                pods.deleted(request).await;
                Answer::Released
            }
        }
    };
    let answer = tokio::select! {
        answer = decide => answer,
        () = stopping => refused("the node agent is stopping".to_owned()),
        () = tokio::time::sleep(DECIDE) => refused(format!("the node agent did not come to know the pod within {DECIDE:?}")),
    };
    match &answer {
        Answer::Refused { reason, .. } => tracing::warn!(pod, ?command, reason, "refused to the CNI plugin"),
        Answer::Enrolled | Answer::NotMeshed | Answer::Released => {
            tracing::debug!(pod, ?command, ?answer, "told to the CNI plugin");
        }
    }
    answer
}

fn refused(reason: String) -> Answer {
    Answer::Refused { reason, retry: true }
}

#[cfg(test)]
mod tests;
