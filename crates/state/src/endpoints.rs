//! Which workloads are endpoints of a service.

use std::sync::Arc;

use ambit_model::{ServiceKey, Workload};

use crate::sharded::Sharded;

/// By service, also of services not (yet) known: workloads and services arrive in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    by_service: Sharded<ServiceKey, Arc<Members>>,
}

#[derive(Debug, Clone, Default)]
struct Members {
    /// By node and then uid.
    all: Vec<Arc<Workload>>,
    /// How many have a weight other than 1.
    weighted: usize,
}

impl Endpoints {
    /// The endpoints of a service, by node and then uid.
    pub(crate) fn of(&self, service: &ServiceKey) -> &[Arc<Workload>] {
        self.by_service.find(service).map_or(&[], |members| &members.all)
    }

    /// Whether the endpoints of a service have weights.
    pub(crate) fn are_weighted(&self, service: &ServiceKey) -> bool {
        self.by_service.find(service).is_some_and(|members| members.weighted > 0)
    }

    pub(crate) fn insert(&mut self, workload: &Arc<Workload>) {
        for service in workload.services.keys() {
            self.by_service.change(service, |slot| {
                let Members { all, weighted } = Arc::make_mut(slot.get_or_insert_default());
                let at = all.partition_point(|endpoint| order(endpoint) < order(workload));
                all.insert(at, Arc::clone(workload));
                *weighted += usize::from(workload.weight != 1);
            });
        }
    }

    pub(crate) fn remove(&mut self, workload: &Workload) {
        for service in workload.services.keys() {
            self.by_service.change(service, |slot| {
                let Some(members) = slot else { return };
                if let Ok(at) = members.all.binary_search_by_key(&order(workload), |endpoint| order(endpoint)) {
                    let Members { all, weighted } = Arc::make_mut(members);
                    *weighted -= usize::from(all.remove(at).weight != 1);
                }
                if members.all.is_empty() {
                    *slot = None;
                }
            });
        }
    }
}

/// Those of `endpoints` that run on a node. Found by bisection: a service of every node has thousands.
pub(crate) fn on_node<'a>(endpoints: &'a [Arc<Workload>], node: &str) -> &'a [Arc<Workload>] {
    let start = endpoints.partition_point(|endpoint| *endpoint.node < *node);
    let rest = endpoints.get(start..).unwrap_or_default();
    let length = rest.partition_point(|endpoint| *endpoint.node == *node);
    rest.get(..length).unwrap_or_default()
}

fn order(workload: &Workload) -> (&str, &str) {
    (&workload.node, workload.uid.as_str())
}
