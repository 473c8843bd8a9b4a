//! Letting go of what is open. The whole stop order of a process, of which this holds the middle:
//!
//! not ready → a notice, while all goes on → stop accepting → tell tunnels (GOAWAY) → wait up to the deadline → cancel → flush →
//! exit code
//!
//! Listeners and tunnels watch [`Drain::begun`]; connections hold a [`Held`] and watch
//! [`Drain::cut_off`]. A pod that leaves the mesh goes through the same, by a [`Drain::child`].
//! [`crate::Stop`] walks the process through it all.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long whatever was cut may take to write its last log line.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// Asks what is open to end, waits for it, and cuts what does not. Clones are the same drain; it may
/// be used from several runtimes at once.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    announced: CancellationToken,
    begun: CancellationToken,
    cut: CancellationToken,
    tracker: TaskTracker,
    parent: Option<Drain>,
}

/// Keeps the drain, and its parents, waiting while it lives.
#[derive(Debug)]
pub struct Held {
    _own: TaskTrackerToken,
    _parent: Option<Box<Held>>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything ended by itself.
    Drained,
    /// Something had to be cut, and then ended.
    Cut,
    /// Something did not end even when it was cut: a defect.
    Stuck {
        /// How many of them.
        left: usize,
    },
}

impl Drain {
    /// A drain of part of this one (a pod): it begins and cuts with its parent or before, and the
    /// parent waits for what it holds.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Inner {
            announced: self.0.announced.child_token(),
            begun: self.0.begun.child_token(),
            cut: self.0.cut.child_token(),
            tracker: TaskTracker::new(),
            parent: Some(self.clone()),
        }))
    }

    /// Holds the drain up: one for each connection, dropped at its end.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held { _own: self.0.tracker.token(), _parent: self.0.parent.as_ref().map(|parent| Box::new(parent.hold())) }
    }

    /// Says that the drain will begin.
    pub fn announce(&self) {
        self.0.announced.cancel();
    }

    /// Cancelled when it is known that the drain will begin: all goes on, but what can end well may end.
    #[must_use]
    pub fn announced(&self) -> &CancellationToken {
        &self.0.announced
    }

    /// Cancelled when the drain begins: accept nothing more, send GOAWAY.
    #[must_use]
    pub fn begun(&self) -> &CancellationToken {
        &self.0.begun
    }

    /// Cancelled when time is up: end now.
    #[must_use]
    pub fn cut_off(&self) -> &CancellationToken {
        &self.0.cut
    }

    /// Begins the drain, waits until nothing holds it any more, and cuts the rest after `deadline`
    /// or when `hurry` completes.
    pub async fn finish(&self, deadline: Duration, hurry: impl Future<Output = ()>) -> Outcome {
        self.announce();
        self.0.begun.cancel();
        tokio::select! {
            biased;
            () = self.ended() => {}
            () = hurry => {}
            () = tokio::time::sleep(deadline) => {}
            () = self.0.cut.cancelled() => {}
        }
        let drained = self.0.tracker.is_empty();
        // Even where nothing is left, since what serves until the end (probes, admin) waits for it.
        self.0.cut.cancel();
        if drained {
            return Outcome::Drained;
        }
        match tokio::time::timeout(CUT_GRACE, self.ended()).await {
            Ok(()) => Outcome::Cut,
            Err(_) => Outcome::Stuck { left: self.0.tracker.len() },
        }
    }

    async fn ended(&self) {
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// A deadline far beyond what a test takes; the clock is paused wherever it is used.
    const LONG: Duration = Duration::from_secs(3600);

    /// Something open that ends when `asked` is cancelled.
    fn open(drain: &Drain, asked: &CancellationToken) {
        let (held, asked) = (drain.hold(), asked.clone());
        tokio::spawn(async move {
            asked.cancelled().await;
            drop(held);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_when_asked_is_not_cut() {
        let drain = Drain::default();
        open(&drain, drain.begun());
        let cut_too_early = drain.cut_off().is_cancelled();
        assert_eq!(drain.finish(LONG, pending()).await, Outcome::Drained);
        assert!(!cut_too_early && drain.cut_off().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_cut_at_the_deadline() {
        let drain = Drain::default();
        open(&drain, drain.cut_off());
        assert_eq!(drain.finish(LONG, pending()).await, Outcome::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn hurry_cuts_before_the_deadline() {
        let drain = Drain::default();
        open(&drain, drain.cut_off());
        assert_eq!(drain.finish(Duration::MAX, ready(())).await, Outcome::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ignores_the_cut_does_not_hold_up_the_exit() {
        let drain = Drain::default();
        let _held = drain.hold();
        assert_eq!(drain.finish(LONG, pending()).await, Outcome::Stuck { left: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_drains_alone() {
        let process = Drain::default();
        let (pod, other) = (process.child(), process.child());
        open(&pod, pod.begun());
        let _other = other.hold();
        assert_eq!(pod.finish(LONG, pending()).await, Outcome::Drained);
        assert!(pod.cut_off().is_cancelled());
        for untouched in [&process, &other] {
            assert!(!untouched.begun().is_cancelled() && !untouched.cut_off().is_cancelled());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_parent_begins_awaits_and_cuts_its_children() {
        let process = Drain::default();
        let (polite, stubborn) = (process.child().child(), process.child());
        open(&polite, polite.begun());
        open(&stubborn, stubborn.cut_off());
        assert_eq!(process.finish(LONG, pending()).await, Outcome::Cut);
        // A child nobody holds (an idle pod) does not keep its parent waiting.
        let process = Drain::default();
        let _idle = process.child();
        assert_eq!(process.finish(LONG, pending()).await, Outcome::Drained);
    }

    #[test]
    fn holds_from_several_runtimes_count() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let drain = Drain::default();
        let (started, wait) = std::sync::mpsc::channel();
        let worker = std::thread::spawn({
            let drain = drain.clone();
            move || {
                runtime().block_on(async {
                    let _held = drain.hold();
                    started.send(()).unwrap();
                    drain.begun().cancelled().await;
                });
            }
        });
        wait.recv().unwrap();
        assert_eq!(runtime().block_on(drain.finish(LONG, pending())), Outcome::Drained);
        worker.join().unwrap();
    }
}
