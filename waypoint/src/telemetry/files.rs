//! Files of logs: each is opened and written by a thread of its own, at the first line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambit_telemetry::{AccessLog, AccessLogFormat};

use crate::worker::Worker;

/// The files that have been written to, by path. All workers share them.
#[derive(Debug, Default)]
pub(crate) struct LogFiles(Mutex<HashMap<Arc<str>, Option<AccessLog>>>);

/// More files are not written to: each costs a thread.
const MAX_FILES: usize = 64;

/// The waypoint's own output.
const OUTPUT: &str = "/dev/stdout";

impl LogFiles {
    /// Writes a line.
    pub(super) fn write(&self, worker: &Worker, path: &Arc<str>, line: &str) {
        if let (OUTPUT, Some(log)) = (&**path, &worker.log) {
            return log.write_line(line);
        }
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = &worker.metrics.access_log_lost;
        let is_full = files.len() >= MAX_FILES;
        let log = files.entry(Arc::clone(path)).or_insert_with(|| {
            let output = Output { path: PathBuf::from(&**path), file: None };
            let log = if is_full { None } else { AccessLog::start(AccessLogFormat::Text, output, lost.clone()).ok() };
            if log.is_none() {
                tracing::error!(%path, "no thread for this log: its lines are lost");
            }
            log
        });
        match log {
            Some(log) => log.write_line(line),
            None => drop(lost.inc()),
        }
    }

    /// Waits until everything is written, for each file at most this long.
    pub(crate) fn flush(&self, at_most: Duration) {
        let files: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect();
        for log in files {
            if !log.flush(at_most) {
                tracing::warn!("a log could not be written to its end");
            }
        }
    }
}

/// A file that is opened when there is something to write: a pipe that nobody reads must keep nobody but its own
/// thread waiting.
struct Output {
    path: PathBuf,
    file: Option<File>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).create(true).open(&self.path)?),
        };
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
