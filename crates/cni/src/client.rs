//! The plugin's side of the socket. It may block: the plugin has nothing else to do.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::message::{Answer, MAX_MESSAGE, Request};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The agent is not there.
    #[error("the node agent cannot be reached")]
    Connect(#[source] io::Error),
    /// The connection broke: it went away in between.
    #[error("the node agent went away")]
    Broken(#[source] io::Error),
    /// It took too long.
    #[error("the node agent did not answer within {0:?}")]
    Late(Duration),
    /// It is something else that answers.
    #[error("the node agent's answer cannot be understood")]
    Answer(#[source] serde_json::Error),
}

/// Asks the agent, and waits for its answer for as long as `patience` lasts.
///
/// # Errors
/// If there is no answer.
pub fn ask(socket: &Path, request: &Request, patience: Duration) -> Result<Answer, AskError> {
    // In a thread, since no timeout of a socket bounds connecting, or an answer that comes byte by byte.
    // Where time runs out the thread stays behind, and ends with the plugin.
    let (answered, answer) = mpsc::sync_channel(1);
    let (socket, request) = (socket.to_owned(), request.clone());
    let asking = move || {
        // Nobody may be there to hear it any more.
        let _late = answered.send(exchange(&socket, &request));
    };
    std::thread::Builder::new().spawn(asking).map_err(AskError::Connect)?;
    answer.recv_timeout(patience).unwrap_or(Err(AskError::Late(patience)))
}

fn exchange(socket: &Path, request: &Request) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(AskError::Connect)?;
    let message = serde_json::to_vec(request).map_err(AskError::Answer)?;
    stream.write_all(&message).and_then(|()| stream.shutdown(Shutdown::Write)).map_err(AskError::Broken)?;
    let mut answer = Vec::new();
    stream.take(MAX_MESSAGE as u64).read_to_end(&mut answer).map_err(AskError::Broken)?;
    if answer.is_empty() {
        return Err(AskError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&answer).map_err(AskError::Answer)
}
