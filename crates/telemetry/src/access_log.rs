//! The access log: one line a connection, to a shared output that may be slow.
//!
//! Workers append to a bounded buffer and never wait; a thread of the log's own writes the buffer
//! out, everything that has gathered in one `write`. Lines that do not fit are lost and counted.

mod line;
mod queue;
mod request_line;

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

pub(crate) use line::{Line, write_now};
use queue::{Closer, Queue};
pub(crate) use request_line::RequestLine;

/// How access-log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLogFormat {
    /// `key=value`, quoted where needed.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// No thread to write it.
    #[error("cannot start the access log's thread")]
    Thread(#[source] io::Error),
}

/// The access log. Clones write to the same output; when the last one is dropped, the rest is
/// written out and the thread ends.
#[derive(Debug, Clone)]
pub struct AccessLog {
    format: AccessLogFormat,
    queue: Arc<Closer>,
}

impl AccessLog {
    /// Starts the log. `lost` counts the lines that did not make it to `output`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        format: AccessLogFormat,
        output: impl Write + Send + 'static,
        lost: Counter,
    ) -> Result<Self, AccessLogError> {
        let queue = Arc::<Queue>::default();
        let reader = Arc::clone(&queue);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || reader.write_to(output, &lost))
            .map_err(AccessLogError::Thread)?;
        Ok(Self { format, queue: Arc::new(Closer(queue)) })
    }

    /// Waits until everything logged so far is written, at most this long; says whether it is.
    /// Blocks the thread: for the end of the process.
    pub fn flush(&self, at_most: Duration) -> bool {
        self.queue.0.flush(at_most)
    }

    /// Writes a line, which ends with a newline.
    pub fn write_line(&self, line: &str) {
        self.queue.0.push(line);
    }

    pub(crate) fn format(&self) -> AccessLogFormat {
        self.format
    }
}

/// The time, as logs write it.
#[must_use]
pub fn now() -> String {
    let mut text = String::new();
    write_now(&mut text);
    text
}
