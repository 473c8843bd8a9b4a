//! What waits for the review. The newest of each thing: however far the review is behind, there is no more than
//! there are objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use ambit_compile::Changed;
use ambit_model::{GatewayKey, Service, ServiceKey};
use ambit_resources::ObjectId;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::waypoints::objects::Told;

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

/// What became of users' objects.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Those that came, changed or went, whomever they concern.
    pub(crate) objects: Vec<(ObjectId, Option<Bytes>)>,
    /// What waypoints are told.
    pub(crate) told: Vec<Told>,
    /// The waypoints there are, where that may have changed.
    pub(crate) waypoints: Option<BTreeSet<GatewayKey>>,
    /// The number of the findings that came of it.
    pub(crate) update: u64,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The waypoints there are, where that changed.
    pub(super) waypoints: Option<BTreeSet<GatewayKey>>,
    /// What each is told of each object; nothing: that it is none of its concern.
    pub(super) told: BTreeMap<(GatewayKey, ObjectId), Option<Bytes>>,
    pub(super) services: HashMap<ServiceKey, Option<Arc<Service>>>,
    /// Objects that came, changed or went, whomever they concern.
    pub(super) objects: BTreeMap<ObjectId, Option<Bytes>>,
    /// The number of the last findings that came of all this.
    pub(super) update: u64,
}

impl Inbox {
    /// The world is otherwise than before.
    pub(crate) fn put(&self, news: News, services: Changed<ServiceKey, Service>) {
        let News { objects, told, waypoints, update } = news;
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.objects.extend(objects);
            waiting.update = waiting.update.max(update);
            waiting.services.extend(services);
            if waypoints.is_some() {
                waiting.waypoints = waypoints;
            }
            waiting.told.extend(
                told.into_iter()
                    .map(|Told { waypoint, id, object }| ((waypoint, id), object.map(|object| object.json))),
            );
        }
        self.changed.notify_one();
    }

    /// Waits for something, and takes all there is.
    pub(super) async fn take(&self) -> Waiting {
        loop {
            self.changed.notified().await;
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if !waiting.is_empty() {
                return waiting;
            }
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.waypoints.is_none() && self.told.is_empty() && self.services.is_empty() && self.objects.is_empty()
    }
}
