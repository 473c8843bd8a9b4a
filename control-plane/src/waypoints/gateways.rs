//! The Gateways that are waypoints, as this replica sees them. The world fills it; who deploys them, and who must
//! know whether a caller is one, look here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ambit_compile::Delta;
use ambit_model::{GatewayKey, WorkloadUid};
use ambit_resources::{Kind, ObjectId};
use serde_json::Value;
use tokio::sync::Notify;

use super::attached::AttachedRoutes;

/// The class of waypoints.
pub(crate) const CLASS: &str = "istio-waypoint";
/// Whose classes are of waypoints.
pub(crate) const CONTROLLER: &str = "istio.io/mesh-controller";
/// The label of a waypoint's pods with its name.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    seen: Mutex<Seen>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// Of every class.
    gateways: BTreeMap<GatewayKey, Arc<Value>>,
    classes: BTreeMap<Arc<str>, Arc<Value>>,
    /// The pods that are ready.
    ready: BTreeMap<GatewayKey, BTreeSet<WorkloadUid>>,
    /// The routes attached to each.
    attached: BTreeMap<GatewayKey, AttachedRoutes>,
    /// The waypoint of each of these.
    pods: HashMap<WorkloadUid, GatewayKey>,
}

/// A waypoint that is to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) key: GatewayKey,
    /// The Gateway.
    pub(crate) gateway: Arc<Value>,
    /// How many of its pods are ready.
    pub(crate) ready: usize,
    /// The routes attached to it.
    pub(crate) attached: AttachedRoutes,
}

impl Gateways {
    /// A Gateway or GatewayClass came or changed.
    pub(crate) fn put(&self, id: &ObjectId, object: Value) {
        let object = Arc::new(object);
        let mut seen = self.lock();
        if id.kind == Kind::Gateway {
            seen.gateways.insert(key(id), object);
        } else {
            seen.classes.insert(Arc::clone(&id.name), object);
        }
        self.changed.notify_one();
    }

    /// An object went.
    pub(crate) fn remove(&self, id: &ObjectId) {
        let mut seen = self.lock();
        let gone = if id.kind == Kind::Gateway {
            seen.attached.remove(&key(id));
            seen.gateways.remove(&key(id))
        } else if id.kind == Kind::GatewayClass {
            seen.classes.remove(&id.name)
        } else {
            None
        };
        if gone.is_some() {
            self.changed.notify_one();
        }
    }

    /// Pods came, changed or went.
    pub(crate) fn follow(&self, delta: &Delta) {
        let mut seen = self.lock();
        let mut changed = false;
        for (uid, workload) in &delta.workloads {
            let gateway = workload.as_ref().filter(|workload| workload.healthy).and_then(|workload| {
                let name = workload.labels.get(GATEWAY_NAME)?;
                Some(GatewayKey { namespace: Arc::clone(&workload.namespace), name: Arc::clone(name) })
            });
            changed |= seen.ready(uid, gateway);
        }
        if changed {
            self.changed.notify_one();
        }
    }

    /// These routes are attached to a waypoint.
    pub(crate) fn attach(&self, key: &GatewayKey, routes: AttachedRoutes) {
        if self.lock().attached.insert(key.clone(), routes.clone()) != Some(routes) {
            self.changed.notify_one();
        }
    }

    /// The waypoints there are.
    pub(crate) fn waypoints(&self) -> BTreeSet<GatewayKey> {
        let seen = self.lock();
        seen.waypoints().map(|(key, _)| key.clone()).collect()
    }

    /// Whether there is such a waypoint.
    pub(crate) fn is_waypoint(&self, key: &GatewayKey) -> bool {
        let seen = self.lock();
        seen.gateways.get(key).is_some_and(|gateway| seen.is_of_waypoints(gateway))
    }

    /// All waypoints, with what is known of them.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let seen = self.lock();
        let ready = |key: &GatewayKey| seen.ready.get(key).map_or(0, BTreeSet::len);
        let wanted = |(key, gateway): (&GatewayKey, &Arc<Value>)| Wanted {
            key: key.clone(),
            gateway: Arc::clone(gateway),
            ready: ready(key),
            attached: seen.attached.get(key).cloned().unwrap_or_default(),
        };
        seen.waypoints().map(wanted).collect()
    }

    /// The Gateways that are no waypoints.
    pub(crate) fn others(&self) -> BTreeMap<GatewayKey, Arc<Value>> {
        let seen = self.lock();
        let others = seen.gateways.iter().filter(|(_, gateway)| !seen.is_of_waypoints(gateway));
        others.map(|(key, gateway)| (key.clone(), Arc::clone(gateway))).collect()
    }

    /// The classes whose Gateways are waypoints.
    pub(crate) fn classes(&self) -> BTreeMap<Arc<str>, Arc<Value>> {
        let is_ours = |(_, class): &(&Arc<str>, &Arc<Value>)| controller(class) == Some(CONTROLLER);
        let seen = self.lock();
        seen.classes.iter().filter(is_ours).map(|(name, class)| (Arc::clone(name), Arc::clone(class))).collect()
    }

    /// Whether there is a class of that name, whosever it is.
    pub(crate) fn has_class(&self, name: &str) -> bool {
        self.lock().classes.contains_key(name)
    }

    /// Waits until something of it changed since this was called last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn waypoints(&self) -> impl Iterator<Item = (&GatewayKey, &Arc<Value>)> {
        self.gateways.iter().filter(|(_, gateway)| self.is_of_waypoints(gateway))
    }

    fn is_of_waypoints(&self, gateway: &Value) -> bool {
        let class = gateway.pointer("/spec/gatewayClassName").and_then(Value::as_str).unwrap_or_default();
        class == CLASS || self.classes.get(class).is_some_and(|class| controller(class) == Some(CONTROLLER))
    }

    /// A pod is ready, as one of that waypoint; or not. Whether that is new.
    fn ready(&mut self, uid: &WorkloadUid, gateway: Option<GatewayKey>) -> bool {
        let before = match gateway.clone() {
            Some(gateway) => self.pods.insert(uid.clone(), gateway),
            None => self.pods.remove(uid),
        };
        if before == gateway {
            return false;
        }
        if let Some(before) = before
            && let Some(pods) = self.ready.get_mut(&before)
        {
            pods.remove(uid);
            if pods.is_empty() {
                self.ready.remove(&before);
            }
        }
        if let Some(gateway) = gateway {
            self.ready.entry(gateway).or_default().insert(uid.clone());
        }
        true
    }
}

fn controller(class: &Value) -> Option<&str> {
    class.pointer("/spec/controllerName").and_then(Value::as_str)
}

fn key(id: &ObjectId) -> GatewayKey {
    GatewayKey { namespace: Arc::clone(&id.namespace), name: Arc::clone(&id.name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gateways_are_waypoints_by_their_class() {
        let gateways = Gateways::default();
        let id = |kind, name: &str| ObjectId { kind, namespace: "shop".into(), name: name.into() };
        let of_class = |class: &str| json!({ "spec": { "gatewayClassName": class } });
        let of_controller = |name: &str| json!({ "spec": { "controllerName": name } });
        gateways.put(&id(Kind::Gateway, "a"), of_class(CLASS));
        gateways.put(&id(Kind::Gateway, "b"), of_class("ours"));
        gateways.put(&id(Kind::Gateway, "c"), of_class("theirs"));
        gateways.put(&id(Kind::GatewayClass, "theirs"), of_controller("example.com/gateway"));
        let names = || gateways.waypoints().iter().map(|key| key.name.to_string()).collect::<String>();
        assert_eq!(names(), "a");
        gateways.put(&id(Kind::GatewayClass, "ours"), of_controller(CONTROLLER));
        assert_eq!(names(), "ab");
        assert!(gateways.is_waypoint(&key(&id(Kind::Gateway, "b"))));
        assert!(!gateways.is_waypoint(&key(&id(Kind::Gateway, "c"))));
        gateways.remove(&id(Kind::Gateway, "a"));
        gateways.remove(&id(Kind::GatewayClass, "ours"));
        assert_eq!(names(), "");
    }
}
