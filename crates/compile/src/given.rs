//! Addresses that the cluster gave away: those of services and of nodes.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ambit_model::ServiceKey;
use ambit_resources::{Kind, ObjectId};

/// Who was given which address, and which ServiceEntries ask for one: whoever only asks must not have what
/// somebody was given, or all of the mesh would send it what is for the other.
#[derive(Debug, Default)]
pub(crate) struct Given {
    by_address: HashMap<IpAddr, BTreeSet<ObjectId>>,
    asking: HashMap<IpAddr, BTreeSet<(ObjectId, ServiceKey)>>,
}

impl Given {
    /// A Service's or Node's address comes, or goes.
    pub(crate) fn give(&mut self, address: IpAddr, holder: &ObjectId, comes: bool) {
        change(&mut self.by_address, address, holder.clone(), comes);
    }

    /// A ServiceEntry begins to ask for an address of one of its hosts, or ceases to.
    pub(crate) fn ask(&mut self, address: IpAddr, owner: &ObjectId, service: &ServiceKey, begins: bool) {
        change(&mut self.asking, address, (owner.clone(), service.clone()), begins);
    }

    /// Who was given an address.
    pub(crate) fn holder(&self, address: IpAddr) -> Option<&ObjectId> {
        self.by_address.get(&address)?.first()
    }

    /// Which node has an address.
    pub(crate) fn node(&self, address: IpAddr) -> Option<&ObjectId> {
        self.by_address.get(&address)?.iter().find(|holder| holder.kind == Kind::Node)
    }

    /// Who asks for an address.
    pub(crate) fn asking(&self, address: IpAddr) -> impl Iterator<Item = &(ObjectId, ServiceKey)> {
        self.asking.get(&address).into_iter().flatten()
    }
}

fn change<T: Ord>(all: &mut HashMap<IpAddr, BTreeSet<T>>, address: IpAddr, whose: T, comes: bool) {
    let here = all.entry(address).or_default();
    if comes {
        here.insert(whose);
    } else {
        here.remove(&whose);
    }
    if here.is_empty() {
        all.remove(&address);
    }
}
