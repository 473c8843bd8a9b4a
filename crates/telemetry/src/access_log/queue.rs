//! Bytes on their way from the workers to the writing thread.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Bytes that may wait: some thousands of lines, enough for a second of a slow output.
const MAX_WAITING: usize = 1024 * 1024;

/// A bounded buffer of whole lines.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write, or the queue was closed.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    lines: u64,
    lost: u64,
    writing: bool,
    closed: bool,
}

/// Closes the queue when the last handle of the log is dropped.
#[derive(Debug)]
pub(super) struct Closer(pub(super) Arc<Queue>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl Queue {
    /// Appends a line, or counts it as lost. Never waits for the output.
    pub(super) fn push(&self, line: &str) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MAX_WAITING {
            state.lost += 1;
        } else {
            state.waiting.extend_from_slice(line.as_bytes());
            state.lines += 1;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until nothing is left to write, at most this long; says whether nothing is.
    pub(super) fn flush(&self, at_most: Duration) -> bool {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        let waited = self.drained.wait_timeout_while(self.lock(), at_most, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Writes everything out until the queue is closed and empty.
    pub(super) fn write_to(&self, mut output: impl Write, lost: &Counter) {
        let mut batch = Vec::new();
        let mut failed = false;
        while let Some((lines, dropped)) = self.take(&mut batch) {
            if dropped > 0 {
                lost.inc_by(dropped);
                tracing::warn!(lines = dropped, "access-log lines are lost: the output is too slow");
            }
            let written = output.write_all(&batch).and_then(|()| output.flush());
            if let Err(error) = &written {
                lost.inc_by(lines);
                // Once, not for every line: the next one will most likely fail as well.
                if !failed {
                    tracing::error!(%error, "access-log lines are lost: the output failed");
                }
            }
            failed = written.is_err();
            self.lock().writing = false;
            self.drained.notify_all();
        }
    }

    /// Waits for lines, moves them to `batch` and says how many they are and how many were lost
    /// before them; `None` when there will be no more.
    fn take(&self, batch: &mut Vec<u8>) -> Option<(u64, u64)> {
        let empty = |state: &mut State| state.waiting.is_empty() && state.lost == 0 && !state.closed;
        let mut state = self.filled.wait_while(self.lock(), empty).unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() && state.lost == 0 {
            return None;
        }
        batch.clear();
        std::mem::swap(batch, &mut state.waiting);
        state.writing = true;
        Some((std::mem::take(&mut state.lines), std::mem::take(&mut state.lost)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc;

    use super::*;
    use crate::access_log::{AccessLog, AccessLogFormat};

    /// Longest wait for another thread; never reached by a test that passes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// An output that says what was written and, before each write, waits to be let go on.
    struct Gate {
        go: mpsc::Receiver<io::Result<()>>,
        written: mpsc::Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv_timeout(PATIENCE).map_err(io::Error::other)??;
            self.written.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        log: AccessLog,
        lost: Counter,
        go: mpsc::Sender<io::Result<()>>,
        written: mpsc::Receiver<String>,
    }

    impl Rig {
        fn new() -> Self {
            let (go, wait) = mpsc::channel();
            let (tell, written) = mpsc::channel();
            let lost = Counter::default();
            let gate = Gate { go: wait, written: tell };
            Self { log: AccessLog::start(AccessLogFormat::Text, gate, lost.clone()).unwrap(), lost, go, written }
        }

        fn push(&self, line: &str) {
            self.log.queue.0.push(line);
        }

        /// Pushes a line and waits until the writer is stuck in writing it.
        fn stick(&self) {
            self.push("first\n");
            while !self.log.queue.0.lock().writing {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_gathers_while_the_output_is_busy_is_one_write() {
        let rig = Rig::new();
        rig.stick();
        rig.push("second\n");
        rig.push("third\n");
        assert!(!rig.log.flush(Duration::ZERO), "nothing is written yet");
        rig.go.send(Ok(())).unwrap();
        rig.go.send(Ok(())).unwrap();
        assert!(rig.log.flush(PATIENCE));
        assert_eq!(rig.written.try_iter().collect::<Vec<_>>(), ["first\n", "second\nthird\n"]);
        assert_eq!(rig.lost.get(), 0);
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_the_rest_is_whole() {
        let rig = Rig::new();
        rig.stick();
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..MAX_WAITING / line.len() + 3 {
            rig.push(&line);
        }
        rig.go.send(Ok(())).unwrap();
        rig.go.send(Ok(())).unwrap();
        assert!(rig.log.flush(PATIENCE));
        assert_eq!(rig.lost.get(), 3);
        assert_eq!(rig.written.try_iter().map(|text| text.len()).sum::<usize>(), "first\n".len() + MAX_WAITING);
    }

    #[test]
    fn a_failed_write_is_counted_and_the_next_is_tried() {
        let rig = Rig::new();
        rig.go.send(Err(io::Error::other("disk full"))).unwrap();
        rig.push("first\n");
        assert!(rig.log.flush(PATIENCE));
        rig.go.send(Ok(())).unwrap();
        rig.push("second\n");
        assert!(rig.log.flush(PATIENCE));
        assert_eq!(rig.lost.get(), 1);
        assert_eq!(rig.written.try_iter().collect::<Vec<_>>(), ["second\n"]);
    }

    #[test]
    fn dropping_the_log_writes_the_rest_and_ends_the_thread() {
        let rig = Rig::new();
        rig.stick();
        rig.push("second\n");
        drop(rig.log);
        rig.go.send(Ok(())).unwrap();
        rig.go.send(Ok(())).unwrap();
        // The iterator ends when the thread has dropped the output.
        assert_eq!(rig.written.iter().collect::<Vec<_>>(), ["first\n", "second\n"]);
    }
}
