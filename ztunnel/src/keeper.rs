//! Keeps enrolment in line with what is published, and says how it stands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambit_runtime::{Condition, Drain};
use tokio::sync::watch;

use crate::app::Overview;
use crate::enrolment::{Enrolment, Standings};
use crate::outlet::Published;

/// How often failed enrolments are tried again, and pods looked after whose namespace may have gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Shortest time from one pass to the next. A pass looks at every destination of the mesh, which may change
/// a hundred times a second.
const PACE: Duration = Duration::from_millis(20);

/// Keeps enrolment in line with what is published.
pub(crate) struct Keeper {
    /// What is kept in line.
    pub(crate) enrolment: Enrolment,
    /// The mesh.
    pub(crate) state: Arc<ambit_state::Shared>,
    /// The pods of this node.
    pub(crate) publications: watch::Receiver<Published>,
    /// How it stands, for the control plane and the CNI plugin.
    pub(crate) standings: watch::Sender<Standings>,
    /// Whether there is a configuration.
    pub(crate) loaded: Condition,
    /// Whether it is in force.
    pub(crate) condition: Condition,
    /// How it stands, for the admin page.
    pub(crate) overview: Arc<Mutex<Overview>>,
    /// Stop order.
    pub(crate) drain: Drain,
}

impl Keeper {
    /// Runs until the drain is over.
    pub(crate) async fn run(mut self) -> Enrolment {
        loop {
            tokio::select! {
                () = self.drain.cut_off().cancelled() => return self.enrolment,
                changed = self.publications.changed() => if changed.is_err() {
                    self.drain.cut_off().cancelled().await;
                    return self.enrolment;
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            // Nothing is enrolled any more once the drain has begun, and nothing let go.
            if !self.drain.begun().is_cancelled() {
                self.pass().await;
                tokio::time::sleep(PACE).await;
            }
        }
    }

    async fn pass(&mut self) {
        let Published { pods, problem } = self.publications.borrow_and_update().clone();
        let published = self.state.version() > 0;
        match problem {
            None if published => self.loaded.ok(),
            None => {}
            Some(problem) => self.loaded.failed(problem),
        }
        if !published {
            return; // nobody is let go, nobody enrolled
        }
        self.enrolment.reconcile(&self.state.load(), &pods).await;
        let problems = self.enrolment.problems();
        if problems.is_empty() {
            self.condition.ok()
        } else {
            self.condition.failed(problems.join("; "))
        }
        let standings = self.enrolment.standings();
        self.standings.send_if_modified(|known| {
            let differs = *known != standings;
            if differs {
                known.clone_from(&standings);
            }
            differs
        });
        let overview = Overview { pods: standings, faults: self.enrolment.faults() };
        *self.overview.lock().unwrap_or_else(PoisonError::into_inner) = overview;
    }
}
