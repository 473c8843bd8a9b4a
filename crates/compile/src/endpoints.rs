//! Endpoints that objects name one by one, not by labels: those of EndpointSlices and ServiceEntries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ambit_model::{PortMapping, ServiceKey, Workload, WorkloadUid};
use ambit_resources::ObjectId;

/// An endpoint as its object wants it.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The pod it says it is.
    pub(crate) pod: Option<WorkloadUid>,
    /// The services it is behind.
    pub(crate) services: Vec<(ServiceKey, Vec<PortMapping>)>,
    /// The workload it is, if it is none that is known otherwise.
    pub(crate) workload: Workload,
}

type Attached = BTreeMap<(ServiceKey, ObjectId), Vec<PortMapping>>;

/// Who names which endpoints.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// The EndpointSlices of a service.
    slices: BTreeMap<ServiceKey, BTreeSet<ObjectId>>,
    /// Who names an address.
    by_address: HashMap<IpAddr, BTreeSet<ObjectId>>,
    /// By workload, the services it is put behind.
    attached: BTreeMap<WorkloadUid, Attached>,
    /// The workloads each object put behind services; those it made itself are marked.
    placed: BTreeMap<ObjectId, BTreeMap<WorkloadUid, bool>>,
    /// Whose endpoints must be looked at again.
    stale: BTreeSet<ObjectId>,
}

impl Endpoints {
    /// An EndpointSlice of a service comes, or goes.
    pub(crate) fn slice(&mut self, service: &ServiceKey, slice: &ObjectId, comes: bool) {
        let slices = self.slices.entry(service.clone()).or_default();
        if comes {
            slices.insert(slice.clone());
        } else {
            slices.remove(slice);
        }
        if slices.is_empty() {
            self.slices.remove(service);
        }
    }

    /// An object begins to name addresses, or ceases to.
    pub(crate) fn name(&mut self, owner: &ObjectId, addresses: impl Iterator<Item = IpAddr>, begins: bool) {
        for address in addresses {
            let owners = self.by_address.entry(address).or_default();
            if begins {
                owners.insert(owner.clone());
            } else {
                owners.remove(owner);
            }
            if owners.is_empty() {
                self.by_address.remove(&address);
            }
        }
        self.outdate(owner);
    }

    /// An address is somebody else's now.
    pub(crate) fn outdate_address(&mut self, address: IpAddr) {
        self.stale.extend(self.by_address.get(&address).into_iter().flatten().cloned());
    }

    /// A service changed.
    pub(crate) fn outdate_service(&mut self, service: &ServiceKey) {
        self.stale.extend(self.slices.get(service).into_iter().flatten().cloned());
    }

    /// The workloads that the EndpointSlices of a service, or the object whose the service is, put behind it.
    pub(crate) fn behind<'a>(
        &'a self,
        service: &ServiceKey,
        owner: &'a ObjectId,
    ) -> impl Iterator<Item = &'a WorkloadUid> {
        let owners = self.slices.get(service).into_iter().flatten().chain([owner]);
        owners.filter_map(|owner| self.placed.get(owner)).flat_map(BTreeMap::keys)
    }

    pub(crate) fn outdate(&mut self, owner: &ObjectId) {
        self.stale.insert(owner.clone());
    }

    pub(crate) fn take_stale(&mut self) -> BTreeSet<ObjectId> {
        std::mem::take(&mut self.stale)
    }

    pub(crate) fn attach(
        &mut self,
        owner: &ObjectId,
        uid: &WorkloadUid,
        made: bool,
        services: Vec<(ServiceKey, Vec<PortMapping>)>,
    ) {
        let attached = self.attached.entry(uid.clone()).or_default();
        for (service, ports) in services {
            attached.insert((service, owner.clone()), ports);
        }
        *self.placed.entry(owner.clone()).or_default().entry(uid.clone()).or_default() |= made;
    }

    /// Takes back all that an object placed.
    pub(crate) fn detach(&mut self, owner: &ObjectId) -> BTreeMap<WorkloadUid, bool> {
        let placed = self.placed.remove(owner).unwrap_or_default();
        for uid in placed.keys() {
            if let Some(attached) = self.attached.get_mut(uid) {
                attached.retain(|(_, other), _| other != owner);
                if attached.is_empty() {
                    self.attached.remove(uid);
                }
            }
        }
        placed
    }

    /// The services a workload is put behind.
    pub(crate) fn services_of(&self, uid: &WorkloadUid) -> impl Iterator<Item = (&ServiceKey, &Vec<PortMapping>)> {
        self.attached.get(uid).into_iter().flatten().map(|((service, _), ports)| (service, ports))
    }
}
