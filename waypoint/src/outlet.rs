//! Where a source of configuration puts what is in force, and where the workers find it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ambit_compile::Input;
use ambit_l7::L7Config;
use ambit_model::ServiceKey;
use ambit_resources::ObjectId;
use ambit_runtime::Condition;
use ambit_state::Snapshot;
use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::in_force::{InForce, Own};

/// What is in force, for those who read it.
#[derive(Clone)]
pub(crate) struct Published {
    current: Arc<ArcSwap<InForce>>,
    told: Arc<Mutex<BTreeSet<ObjectId>>>,
    version: watch::Receiver<u64>,
}

/// Where a source publishes. There is one.
pub(crate) struct Outlet {
    current: Arc<ArcSwap<InForce>>,
    told: Arc<Mutex<BTreeSet<ObjectId>>>,
    version: watch::Sender<u64>,
    loaded: Condition,
}

/// The two ends, for a waypoint of this service. `loaded` holds from the first publication on, as long as there
/// is no problem.
pub(crate) fn channel(service: ServiceKey, loaded: Condition) -> (Outlet, Published) {
    let current = Arc::new(ArcSwap::from_pointee(InForce::nothing(service)));
    let told = Arc::<Mutex<_>>::default();
    let (version, receiver) = watch::channel(0);
    let outlet = Outlet { current: Arc::clone(&current), told: Arc::clone(&told), version, loaded };
    (outlet, Published { current, told, version: receiver })
}

impl Outlet {
    /// What is in force now.
    pub(crate) fn current(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Puts this in force.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>, config: Arc<L7Config>, own: Own) {
        self.current.store(Arc::new(self.current().next(snapshot, config, own)));
        self.version.send_modify(|version| *version += 1);
        self.loaded.ok();
    }

    /// Notes which of users' objects the waypoint is told of, for its admin page.
    pub(crate) fn told(&self, inputs: &[Input]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for input in inputs {
            match input {
                Input::Put(parsed, _) => drop(told.insert(parsed.origin.id.clone())),
                Input::Refused(id, ..) => drop(told.insert(id.clone())),
                Input::Remove(id) => drop(told.remove(id)),
                Input::Enrolled { .. } => {}
            }
        }
    }

    /// Says why nothing newer, or nothing at all, is in force.
    pub(crate) fn problem(&self, problem: String) {
        self.loaded.failed(problem);
    }
}

impl Published {
    /// What is in force, for one decision.
    pub(crate) fn load(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Which of users' objects the waypoint was told of.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().map(ToString::to_string).collect()
    }

    /// How many times something was put in force.
    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Waits until something is in force at all. It is so at once later on.
    pub(crate) async fn first(&mut self) {
        if self.version.wait_for(|version| *version > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&mut self) {
        if self.version.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
