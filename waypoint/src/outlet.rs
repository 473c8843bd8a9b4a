//! Where a source of configuration puts what is in force, and where the workers find it.

use std::sync::Arc;

use ambit_l7::L7Config;
use ambit_model::ServiceKey;
use ambit_runtime::Condition;
use ambit_state::Snapshot;
use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::in_force::{InForce, Own};

/// What is in force, for those who read it.
#[derive(Clone)]
pub(crate) struct Published {
    current: Arc<ArcSwap<InForce>>,
    version: watch::Receiver<u64>,
}

/// Where a source publishes. There is one.
pub(crate) struct Outlet {
    current: Arc<ArcSwap<InForce>>,
    version: watch::Sender<u64>,
    loaded: Condition,
}

/// The two ends, for a waypoint of this service. `loaded` holds from the first publication on, as long as there
/// is no problem.
pub(crate) fn channel(service: ServiceKey, loaded: Condition) -> (Outlet, Published) {
    let current = Arc::new(ArcSwap::from_pointee(InForce::nothing(service)));
    let (version, receiver) = watch::channel(0);
    (Outlet { current: Arc::clone(&current), version, loaded }, Published { current, version: receiver })
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
