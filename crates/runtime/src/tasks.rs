//! Tasks that are to run as long as the process.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::Drain;

/// Spawns a task that lives as long as the process. If it ends before the drain begins, however it
/// ends, that is a defect, and the log says so.
pub fn spawn(name: &'static str, drain: &Drain, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let watch = Watch { name, drain: drain.clone() };
    tokio::spawn(async move {
        let _watch = watch;
        task.await;
    })
}

struct Watch {
    name: &'static str,
    drain: Drain,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.drain.begun().is_cancelled() {
            tracing::error!(task = self.name, panicked = std::thread::panicking(), "a task ended that should not");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_unexpected_end_is_logged_and_an_expected_one_is_not() {
        let log = Log::default();
        let output = log.clone();
        let _subscriber = tracing::subscriber::set_default(
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || output.clone()).finish(),
        );
        let drain = Drain::default();
        spawn("done", &drain, async {}).await.unwrap();
        spawn("broken", &drain, async { panic!("on purpose") }).await.unwrap_err();
        let killed = spawn("killed", &drain, std::future::pending());
        killed.abort();
        killed.await.unwrap_err();
        drain.begun().cancel();
        spawn("late", &drain, async {}).await.unwrap();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let ends: Vec<_> = log.lines().filter_map(|line| line.split_once("task=").map(|(_, end)| end)).collect();
        assert_eq!(ends, ["\"done\" panicked=false", "\"broken\" panicked=true", "\"killed\" panicked=false"]);
    }
}
