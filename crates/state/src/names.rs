//! Workloads known by a host name: each address that was found for it is an endpoint of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Addresses, Workload, WorkloadUid};

use crate::Update;

/// Who is known by which host name, and what was found for the names. Few: copied when they change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    workloads: Arc<BTreeMap<Arc<str>, Vec<Arc<Workload>>>>,
    found: Arc<BTreeMap<Arc<str>, Arc<[IpAddr]>>>,
}

impl Names {
    /// The names workloads are known by.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Arc<str>> {
        self.workloads.keys()
    }

    /// What was found for a name, which may be nothing; `None`: nobody could look.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<[IpAddr]>> {
        self.found.get(name)
    }

    /// A workload as endpoints: itself, or one for each address that was found.
    pub(crate) fn endpoints_of(&self, workload: &Arc<Workload>) -> Vec<Arc<Workload>> {
        let found = workload.hostname.as_ref().and_then(|name| self.found.get(name));
        match found.filter(|found| !found.is_empty()) {
            Some(found) => found.iter().map(|address| Arc::new(at(workload, *address))).collect(),
            None => vec![Arc::clone(workload)],
        }
    }

    /// A workload comes, in place of one that goes.
    pub(crate) fn replace(&mut self, before: Option<&Arc<Workload>>, after: Option<&Arc<Workload>>) {
        let name = |workload: Option<&Arc<Workload>>| workload.and_then(|it| it.hostname.clone());
        if let Some((name, gone)) = name(before).zip(before) {
            let all = Arc::make_mut(&mut self.workloads);
            let here = all.entry(Arc::clone(&name)).or_default();
            here.retain(|workload| workload.uid != gone.uid);
            if here.is_empty() {
                all.remove(&name);
            }
        }
        if let Some((name, new)) = name(after).zip(after) {
            Arc::make_mut(&mut self.workloads).entry(name).or_default().push(Arc::clone(new));
        }
    }

    /// Takes note of what was found for a name; of nothing where it is to be forgotten. Gives the workloads whose
    /// endpoints are others than before, unless there are none.
    pub(crate) fn learn(&mut self, name: &Arc<str>, found: Option<&Arc<[IpAddr]>>) -> Vec<Arc<Workload>> {
        if self.found.get(name) == found {
            return Vec::new();
        }
        let all = Arc::make_mut(&mut self.found);
        match found {
            Some(found) => drop(all.insert(Arc::clone(name), Arc::clone(found))),
            None => drop(all.remove(name)),
        }
        self.workloads.get(name).cloned().unwrap_or_default()
    }

    /// What this one must learn to know what another knows.
    pub(crate) fn lessons(&self, other: &Self) -> Vec<Update> {
        if Arc::ptr_eq(&self.found, &other.found) {
            return Vec::new();
        }
        let gone = self.found.keys().filter(|name| !other.found.contains_key(*name));
        let gone = gone.map(|name| Update::Found(Arc::clone(name), None));
        let known = other.found.iter().map(|(name, found)| Update::Found(Arc::clone(name), Some(Arc::clone(found))));
        gone.chain(known).collect()
    }
}

/// A workload at an address of its name.
fn at(workload: &Workload, address: IpAddr) -> Workload {
    let uid = WorkloadUid::new(format!("{}/{address}", workload.uid));
    Workload { uid, addresses: Addresses::from_elem(address, 1), ..workload.clone() }
}

#[cfg(test)]
mod tests {
    use ambit_model::{Application, ServiceKey};

    use super::*;
    use crate::Snapshot;
    use crate::fixtures::{pod, service, service_key, serving};

    fn entry(name: &str, hostname: &str) -> Arc<Workload> {
        let entry = serving(pod(name, "", ""), "web");
        let application = Application { hostname: Some(hostname.into()), ..Application::clone(&entry) };
        Arc::new(Workload { host_network: true, application: Arc::new(application), ..entry })
    }

    fn found(name: &str, addresses: &str) -> Update {
        let addresses = addresses.split_whitespace().map(|address| address.parse().unwrap()).collect();
        Update::Found(name.into(), Some(addresses))
    }

    fn endpoints(snapshot: &Snapshot, key: &ServiceKey) -> String {
        let shown = |endpoint: &Arc<Workload>| {
            let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
            format!("{}={}", endpoint.name(), addresses.join(" "))
        };
        snapshot.endpoints(key).iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn endpoints_follow_names_and_names_outlive_who_has_them() {
        let own = entry("a", "x.org");
        let mut snapshot = Snapshot::build(vec![], vec![service("web", "10.96.0.1")], vec![]);
        for (step, expected) in [
            (Update::Workload(Arc::clone(&own)), "a="),
            (found("x.org", "192.0.2.2 192.0.2.1"), "a=192.0.2.1, a=192.0.2.2"),
            (found("y.org", "192.0.2.9"), "a=192.0.2.1, a=192.0.2.2"),
            (Update::Workload(entry("b", "y.org")), "a=192.0.2.1, a=192.0.2.2, b=192.0.2.9"),
            (found("x.org", "192.0.2.2"), "a=192.0.2.2, b=192.0.2.9"),
            (Update::RemoveWorkload(own.uid.clone()), "b=192.0.2.9"),
            (Update::Workload(own), "a=192.0.2.2, b=192.0.2.9"),
            (found("x.org", ""), "a=, b=192.0.2.9"),
            (Update::Found("y.org".into(), None), "a=, b="),
        ] {
            snapshot = snapshot.apply([step]).0;
            assert_eq!(endpoints(&snapshot, &service_key("web")), expected);
        }
        assert_eq!(snapshot.host_names().map(|name| &**name).collect::<Vec<_>>(), ["x.org", "y.org"]);
    }

    #[test]
    fn a_snapshot_learns_what_another_knows() {
        let build = || Snapshot::build(vec![Workload::clone(&entry("a", "x.org"))], vec![], vec![]);
        let knowing = build().apply([found("x.org", "192.0.2.1")]).0;
        let taught = build().apply([found("y.org", "192.0.2.7")]).0.taught_by(&knowing).unwrap();
        assert_eq!(endpoints(&taught, &service_key("web")), "a=192.0.2.1");
        assert_eq!(taught.names.find("y.org"), None);
        assert!(knowing.taught_by(&knowing.clone()).is_none());
    }
}
