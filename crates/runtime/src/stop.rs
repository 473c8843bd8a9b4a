//! Stopping the process, in the order that [`crate::drain`] states.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Drain, Outcome, Readiness};

/// SIGTERM and SIGINT, as they come.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both signals over from their default, which would end the process.
    ///
    /// # Errors
    /// If the kernel does not let us.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What stopping takes.
#[derive(Debug)]
pub struct Stop<'a> {
    /// Turned off first.
    pub readiness: &'a Readiness,
    /// What is open.
    pub drain: &'a Drain,
    /// How long all goes on before the drain begins, so that those who send traffic here can learn that it ends.
    pub notice: Duration,
    /// How long it may stay open.
    pub deadline: Duration,
    /// Cancelled by whoever else may ask the process to stop (the admin page).
    pub requested: CancellationToken,
}

impl Stop<'_> {
    /// Waits for a signal or a request, then stops: a second signal cuts the wait short. `flush`
    /// comes last, when nobody logs any more; the process is to exit with the outcome.
    pub async fn run(self, mut next_signal: impl AsyncFnMut(), flush: impl FnOnce()) -> Outcome {
        tokio::select! {
            () = next_signal() => {}
            () = self.requested.cancelled() => {}
        }
        tracing::info!(deadline = ?self.deadline, "stopping");
        self.readiness.stop();
        self.drain.announce();
        let deadline = tokio::select! {
            biased;
            () = tokio::time::sleep(self.notice) => self.deadline,
            () = next_signal() => Duration::ZERO,
        };
        let outcome = self.drain.finish(deadline, next_signal()).await;
        match outcome {
            Outcome::Drained => tracing::info!("everything has ended"),
            Outcome::Cut => tracing::warn!("what was still open has been cut"),
            Outcome::Stuck { left } => tracing::error!(left, "tasks did not end when they were cut"),
        }
        flush();
        outcome
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Drained | Outcome::Cut => Self::SUCCESS,
            Outcome::Stuck { .. } => Self::FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    /// A deadline that only the paused clock ever reaches.
    const LONG: Duration = Duration::from_secs(3600);

    /// A process that is ready, with `signals` to be sent to it.
    struct Rig {
        readiness: Readiness,
        /// Fails once dropped.
        _condition: crate::Condition,
        drain: Drain,
        notice: Duration,
        requested: CancellationToken,
        signals: mpsc::UnboundedSender<()>,
        received: mpsc::UnboundedReceiver<()>,
    }

    impl Rig {
        fn new() -> Self {
            let readiness = Readiness::default();
            let condition = readiness.condition("state");
            condition.ok();
            let (signals, received) = mpsc::unbounded_channel();
            let (drain, requested) = (Drain::default(), CancellationToken::new());
            Self { readiness, _condition: condition, drain, notice: Duration::ZERO, requested, signals, received }
        }

        /// Runs the stop to its end; says how it ended and whether the flush was the last step.
        async fn stop(&mut self) -> (Outcome, bool) {
            let (mut flushed, drain) = (false, self.drain.clone());
            let stop = Stop {
                readiness: &self.readiness,
                drain: &self.drain,
                notice: self.notice,
                deadline: LONG,
                requested: self.requested.clone(),
            };
            let received = &mut self.received;
            let outcome = stop
                .run(async || received.recv().await.unwrap_or_default(), || flushed = drain.cut_off().is_cancelled())
                .await;
            (outcome, flushed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_happens_before_a_signal() {
        let mut rig = Rig::new();
        assert!(tokio::time::timeout(LONG, rig.stop()).await.is_err());
        assert_eq!(rig.readiness.check(), Ok(()));
        assert!(!rig.drain.begun().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn not_ready_comes_before_the_drain_and_the_flush_comes_last() {
        let mut rig = Rig::new();
        let (readiness, drain, held) = (rig.readiness.clone(), rig.drain.clone(), rig.drain.hold());
        let order = tokio::spawn(async move {
            drain.begun().cancelled().await;
            let not_ready = readiness.check().is_err();
            drop(held);
            not_ready && !drain.cut_off().is_cancelled()
        });
        rig.signals.send(()).unwrap();
        assert_eq!(rig.stop().await, (Outcome::Drained, true));
        assert!(order.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_goes_before_the_drain_and_a_second_signal_ends_it() {
        for second_signal in [false, true] {
            let mut rig = Rig::new();
            rig.notice = LONG;
            let (drain, signals) = (rig.drain.clone(), rig.signals.clone());
            let noticed = tokio::spawn(async move {
                drain.announced().cancelled().await;
                if second_signal {
                    signals.send(()).unwrap();
                }
                let began = tokio::time::timeout(LONG / 2, drain.begun().cancelled()).await;
                began.is_ok()
            });
            rig.signals.send(()).unwrap();
            assert_eq!(rig.stop().await, (Outcome::Drained, true));
            assert_eq!(noticed.await.unwrap(), second_signal);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_stops_like_a_signal() {
        let mut rig = Rig::new();
        rig.requested.cancel();
        assert_eq!(rig.stop().await, (Outcome::Drained, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cuts_at_once() {
        let mut rig = Rig::new();
        let (drain, held, waited) = (rig.drain.clone(), rig.drain.hold(), Arc::new(AtomicBool::new(false)));
        let long_wait = Arc::clone(&waited);
        tokio::spawn(async move {
            tokio::time::sleep(LONG / 2).await;
            long_wait.store(true, Ordering::Relaxed);
        });
        tokio::spawn(async move {
            drain.cut_off().cancelled().await;
            drop(held);
        });
        rig.signals.send(()).unwrap();
        rig.signals.send(()).unwrap();
        assert_eq!(rig.stop().await, (Outcome::Cut, true));
        assert!(!waited.load(Ordering::Relaxed), "it waited for the deadline");
    }

    #[test]
    fn only_what_is_stuck_fails_the_exit() {
        let cases = [
            (Outcome::Drained, ExitCode::SUCCESS),
            (Outcome::Cut, ExitCode::SUCCESS),
            (Outcome::Stuck { left: 1 }, ExitCode::FAILURE),
        ];
        for (outcome, code) in cases {
            assert_eq!(ExitCode::from(outcome), code, "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn both_signals_are_heard() {
        let mut signals = Signals::listen().unwrap();
        for name in ["-TERM", "-INT"] {
            let sent = Command::new("kill").arg(name).arg(std::process::id().to_string()).status().unwrap();
            assert!(sent.success());
            signals.next().await;
        }
    }
}
