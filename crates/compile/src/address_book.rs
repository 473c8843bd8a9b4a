//! Who has which address.

use std::collections::HashMap;
use std::net::IpAddr;

use ambit_resources::{FieldPath, ObjectId, Severity};

use crate::place::Place;
use crate::workload::Pod;
use crate::{Issue, Problem};

/// An address names one workload: two pods of one address would lend each other their identities, so
/// the second, by name, does without. Pods that share their node's address share it lawfully.
#[derive(Debug)]
pub(crate) struct AddressBook<'a> {
    holders: HashMap<IpAddr, &'a ObjectId>,
}

impl<'a> AddressBook<'a> {
    pub(crate) fn for_pods(count: usize) -> Self {
        Self { holders: HashMap::with_capacity(count) }
    }

    /// Gives a pod its addresses, and says which of them it must do without.
    pub(crate) fn claim(&mut self, place: Place<'a>, pod: &Pod, issues: &mut Vec<Issue>) -> Vec<IpAddr> {
        let mut taken = Vec::new();
        for address in pod.addresses().iter().filter(|_| !pod.workload.host_network) {
            let holder = *self.holders.entry(*address).or_insert(place.id);
            if !std::ptr::eq(holder, place.id) {
                let problem = Problem::AddressTaken { address: *address, holder: holder.clone() };
                issues.push(place.issue(Severity::Error, FieldPath::of("status.podIPs"), problem));
                taken.push(*address);
            }
        }
        taken
    }
}
