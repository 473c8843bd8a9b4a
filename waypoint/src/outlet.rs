//! Where a source of configuration puts what is in force, and where the workers find it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ambit_compile::Input;
use ambit_l7::L7Config;
use ambit_model::ServiceKey;
use ambit_resources::ObjectId;
use ambit_runtime::Condition;
use ambit_state::{Snapshot, Update};
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
    place: Place,
    told: Arc<Mutex<BTreeSet<ObjectId>>>,
    loaded: Condition,
}

/// Where it is put in force, by its source and by who looks up host names.
#[derive(Clone)]
pub(crate) struct Place {
    current: Arc<ArcSwap<InForce>>,
    version: watch::Sender<u64>,
    writing: Arc<Mutex<()>>,
}

/// The two ends, for a waypoint of this service. `loaded` holds from the first publication on, as long as there
/// is no problem.
pub(crate) fn channel(service: ServiceKey, loaded: Condition) -> (Outlet, Published) {
    let current = Arc::new(ArcSwap::from_pointee(InForce::nothing(service)));
    let told = Arc::<Mutex<_>>::default();
    let (version, receiver) = watch::channel(0);
    let place = Place { current: Arc::clone(&current), version, writing: Arc::default() };
    let outlet = Outlet { place, told: Arc::clone(&told), loaded };
    (outlet, Published { current, told, version: receiver })
}

impl Outlet {
    /// What is in force now.
    pub(crate) fn current(&self) -> Arc<InForce> {
        self.place.current.load_full()
    }

    /// Where this is put in force.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Puts this in force, but for what was found for host names.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>, config: Arc<L7Config>, own: Own) {
        self.place.replace(|current| {
            let taught = snapshot.taught_by(&current.snapshot).map(Arc::new);
            current.next(taught.unwrap_or(snapshot), config, own)
        });
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

impl Place {
    /// Puts in force what was found for a host name, or that it is no longer looked up.
    pub(crate) fn learn(&self, name: Arc<str>, found: Option<Arc<[IpAddr]>>) {
        self.replace(|current| {
            let snapshot = current.snapshot.apply([Update::Found(name, found)]).0;
            current.next(Arc::new(snapshot), Arc::clone(&current.config), current.own.clone())
        });
    }

    fn replace(&self, next: impl FnOnce(&InForce) -> InForce) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(next(&self.current.load())));
        self.version.send_modify(|version| *version += 1);
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
