//! Which workloads are endpoints of a service.

use std::sync::Arc;

use ambit_model::{ServiceKey, Workload};

use crate::sharded::Sharded;

/// By service, also of services not (yet) known: workloads and services arrive in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    by_service: Sharded<ServiceKey, Arc<Vec<Arc<Workload>>>>,
}

impl Endpoints {
    /// The endpoints of a service, by node and then uid.
    pub(crate) fn of(&self, service: &ServiceKey) -> &[Arc<Workload>] {
        self.by_service.find(service).map_or(&[], |endpoints| endpoints)
    }

    pub(crate) fn insert(&mut self, workload: &Arc<Workload>) {
        for service in workload.services.keys() {
            self.by_service.change(service, |slot| {
                let endpoints = Arc::make_mut(slot.get_or_insert_default());
                let at = endpoints.partition_point(|endpoint| order(endpoint) < order(workload));
                endpoints.insert(at, Arc::clone(workload));
            });
        }
    }

    pub(crate) fn remove(&mut self, workload: &Workload) {
        for service in workload.services.keys() {
            self.by_service.change(service, |slot| {
                let Some(endpoints) = slot else { return };
                if let Ok(at) = endpoints.binary_search_by_key(&order(workload), |endpoint| order(endpoint)) {
                    Arc::make_mut(endpoints).remove(at);
                }
                if endpoints.is_empty() {
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
