//! Whether the process can do its job, and if not, why not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::http::{Method, StatusCode};

use crate::http::{Reply, Routes, text};

/// Named conditions, all of which must hold. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, State>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ok,
    Failed(String),
}

/// One condition, held by who knows about it. It fails until it is said to hold, and again when the
/// handle is dropped: who knew is gone. [`Condition::retire`] is the way to take it back.
#[derive(Debug)]
pub struct Condition {
    readiness: Readiness,
    name: String,
}

impl Readiness {
    /// Adds a condition. Names are unique; a second condition of the name takes the first one's place.
    #[must_use]
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let condition = Condition { readiness: self.clone(), name: name.into() };
        condition.failed("not yet");
        condition
    }

    /// Why the process is not ready, a line each; `Ok` when it is. A process that was never told of
    /// a condition is not ready either.
    ///
    /// # Errors
    /// The reasons.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let conditions = self.lock();
        if conditions.is_empty() {
            return Err(vec!["nothing has been checked yet".to_owned()]);
        }
        let failed: Vec<_> = conditions
            .iter()
            .filter_map(|(name, state)| match state {
                State::Ok => None,
                State::Failed(reason) => Some(format!("{name}: {reason}")),
            })
            .collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }

    /// Never ready again: the process is stopping.
    pub fn stop(&self) {
        self.set("process", State::Failed("stopping".to_owned()));
    }

    fn set(&self, name: &str, state: State) {
        let before = self.lock().insert(name.to_owned(), state.clone());
        if before.as_ref() != Some(&state) {
            match state {
                State::Ok => tracing::info!(condition = name, "ready"),
                State::Failed(reason) => tracing::info!(condition = name, reason, "not ready"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    /// It holds.
    pub fn ok(&self) {
        self.readiness.set(&self.name, State::Ok);
    }

    /// It does not hold, for this reason.
    pub fn failed(&self, reason: impl Into<String>) {
        self.readiness.set(&self.name, State::Failed(reason.into()));
    }

    /// It no longer matters.
    pub fn retire(mut self) {
        let name = std::mem::take(&mut self.name);
        self.readiness.lock().remove(&name);
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        // A retired condition has given its name away.
        if !self.name.is_empty() {
            self.failed("its owner is gone");
        }
    }
}

/// `/healthz/ready`, and `/ready` for those who know it by that name: 200 and `ready`, or 503 and the reasons.
#[must_use]
pub fn routes(readiness: Readiness) -> Routes {
    let same = readiness.clone();
    Routes::default()
        .add(Method::GET, "/healthz/ready", "whether the process is ready", move |_| answer(&readiness))
        .add(Method::GET, "/ready", "the same", move |_| answer(&same))
}

fn answer(readiness: &Readiness) -> Reply {
    match readiness.check() {
        Ok(()) => text(StatusCode::OK, "ready\n"),
        Err(reasons) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(readiness: &Readiness) -> Vec<String> {
        readiness.check().err().unwrap_or_default()
    }

    #[test]
    fn all_conditions_must_hold() {
        let readiness = Readiness::default();
        assert_eq!(reasons(&readiness), ["nothing has been checked yet"]);
        let (state, capture) = (readiness.condition("state"), readiness.condition("capture"));
        assert_eq!(reasons(&readiness), ["capture: not yet", "state: not yet"]);
        state.ok();
        capture.failed("kernel too old");
        assert_eq!(reasons(&readiness), ["capture: kernel too old"]);
        capture.ok();
        assert_eq!(readiness.check(), Ok(()));
        readiness.stop();
        assert_eq!(reasons(&readiness), ["process: stopping"]);
    }

    #[test]
    fn a_dropped_condition_fails_and_a_retired_one_is_forgotten() {
        let readiness = Readiness::default();
        let (state, pod) = (readiness.condition("state"), readiness.condition("pod shop/web"));
        state.ok();
        pod.failed("no network namespace");
        pod.retire();
        assert_eq!(readiness.check(), Ok(()));
        drop(state);
        assert_eq!(reasons(&readiness), ["state: its owner is gone"]);
    }
}
