//! Who has which address.

use std::collections::HashMap;
use std::net::IpAddr;

use ambit_model::WorkloadUid;

/// Who claims each address. An address names one workload: two pods of one address would lend each
/// other their identities. Pods that share their node's address claim nothing.
#[derive(Debug, Default)]
pub(crate) struct AddressBook(HashMap<IpAddr, Claims>);

/// Nearly always one; several while an address passes from one pod to the next.
#[derive(Debug)]
enum Claims {
    One(WorkloadUid),
    /// By uid.
    #[expect(clippy::box_collection, reason = "thin, so that it fits into what the one needs")]
    Many(Box<Vec<WorkloadUid>>),
}

impl AddressBook {
    pub(crate) fn claim(&mut self, address: IpAddr, uid: &WorkloadUid) {
        let mut all = self.claimants(address).to_vec();
        if let Err(at) = all.binary_search(uid) {
            all.insert(at, uid.clone());
            self.set(address, all);
        }
    }

    pub(crate) fn release(&mut self, address: IpAddr, uid: &WorkloadUid) {
        let rest = self.claimants(address).iter().filter(|other| *other != uid).cloned().collect();
        self.set(address, rest);
    }

    /// Who claims an address, by uid.
    pub(crate) fn claimants(&self, address: IpAddr) -> &[WorkloadUid] {
        match self.0.get(&address) {
            None => &[],
            Some(Claims::One(uid)) => std::slice::from_ref(uid),
            Some(Claims::Many(uids)) => uids,
        }
    }

    fn set(&mut self, address: IpAddr, claimants: Vec<WorkloadUid>) {
        let claims = match <[WorkloadUid; 1]>::try_from(claimants) {
            Ok([one]) => Claims::One(one),
            Err(none) if none.is_empty() => return drop(self.0.remove(&address)),
            Err(many) => Claims::Many(Box::new(many)),
        };
        self.0.insert(address, claims);
    }
}
