//! Objects found by their key and by their addresses.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{LoadBalancingMode, Service, ServiceKey, Workload, WorkloadUid, canonical_ip};

use crate::sharded::Sharded;

/// What a [`Table`] holds.
pub(crate) trait Object: Eq {
    type Key: Clone + Hash + Ord;
    fn key(&self) -> &Self::Key;
    /// The addresses by which it is found.
    fn addresses(&self) -> &[IpAddr];
}

impl Object for Workload {
    type Key = WorkloadUid;
    fn key(&self) -> &WorkloadUid {
        &self.uid
    }
    /// None for a pod of the host's network: its address is the node's and tells nothing of it.
    fn addresses(&self) -> &[IpAddr] {
        if self.host_network { &[] } else { &self.addresses }
    }
}

impl Object for Service {
    type Key = ServiceKey;
    fn key(&self) -> &ServiceKey {
        &self.key
    }
    /// None for one whose connections are not the mesh's: they go where they would go without, but through a
    /// waypoint where it is behind one.
    fn addresses(&self) -> &[IpAddr] {
        if self.load_balancing == LoadBalancingMode::Passthrough && self.waypoint.is_none() {
            &[]
        } else {
            &self.addresses
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Table<T: Object> {
    by_key: Sharded<T::Key, Arc<T>>,
    by_address: Sharded<IpAddr, Holders<T>>,
}

impl<T: Object> Default for Table<T> {
    fn default() -> Self {
        Self { by_key: Sharded::default(), by_address: Sharded::default() }
    }
}

impl<T: Object> Table<T> {
    pub(crate) fn find(&self, key: &T::Key) -> Option<&Arc<T>> {
        self.by_key.find(key)
    }

    /// All who claim an address, by key: several while it passes from one to another.
    pub(crate) fn holders(&self, address: IpAddr) -> &[Arc<T>] {
        self.by_address.find(&address).map_or(&[], Holders::as_slice)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_key.iter().map(|(_, object)| object)
    }

    /// Puts an object in, or takes the one of this key out; returns what was there before.
    pub(crate) fn replace(&mut self, key: &T::Key, object: Option<&Arc<T>>) -> Option<Arc<T>> {
        let before = self.by_key.change(key, |slot| std::mem::replace(slot, object.cloned()));
        for address in before.iter().flat_map(|object| object.addresses()) {
            self.by_address.change(&canonical_ip(*address), |slot| {
                *slot = slot.take().and_then(|holders| holders.without(key));
            });
        }
        for (object, address) in object.iter().flat_map(|object| object.addresses().iter().map(move |a| (object, a))) {
            self.by_address.change(&canonical_ip(*address), |slot| {
                *slot = Some(Holders::with(slot.take(), object));
            });
        }
        before
    }
}

/// Who claims an address. Nearly always one; several while an address passes from one pod to another.
#[derive(Debug)]
enum Holders<T> {
    One(Arc<T>),
    /// Two or more, by key.
    Many(Arc<[Arc<T>]>),
}

impl<T: Object> Holders<T> {
    fn as_slice(&self) -> &[Arc<T>] {
        match self {
            Self::One(object) => std::slice::from_ref(object),
            Self::Many(objects) => objects,
        }
    }

    fn with(held: Option<Self>, object: &Arc<T>) -> Self {
        let Some(held) = held.and_then(|held| held.without(object.key())) else {
            return Self::One(Arc::clone(object));
        };
        let mut objects = held.as_slice().to_vec();
        let at = objects.partition_point(|held| held.key() < object.key());
        objects.insert(at, Arc::clone(object));
        Self::Many(objects.into())
    }

    fn without(self, key: &T::Key) -> Option<Self> {
        let rest: Vec<_> = self.as_slice().iter().filter(|object| object.key() != key).cloned().collect();
        match <[Arc<T>; 1]>::try_from(rest) {
            Ok([one]) => Some(Self::One(one)),
            Err(rest) => (!rest.is_empty()).then(|| Self::Many(rest.into())),
        }
    }
}

impl<T> Clone for Holders<T> {
    fn clone(&self) -> Self {
        match self {
            Self::One(object) => Self::One(Arc::clone(object)),
            Self::Many(objects) => Self::Many(Arc::clone(objects)),
        }
    }
}
