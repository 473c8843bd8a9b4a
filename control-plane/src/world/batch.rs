//! One batch: from what was queued to what is published.

use ambit_compile::{Changed, Delta, Input, Issue, Problem, Store};
use ambit_model::{Service, ServiceKey, WorkloadUid};
use ambit_resources::{FieldPath, Kind, Object, ObjectId};
use ambit_xds::{Entry, TypeUrl};
use tokio::time::Instant;

use super::Outlet;
use crate::credentials;
use crate::findings::Arrival;
use crate::kinds::has_status;
use crate::pods::Pods;
use crate::watch::{Change, What};
use crate::waypoints::objects::Told;
use crate::waypoints::review::News;
use crate::waypoints::{Objects, Sent, bound};

/// What was queued.
#[derive(Default)]
pub(super) struct Batch {
    inputs: Vec<Input>,
    /// What waypoints are told of; nothing of what is gone.
    sent: Vec<(ObjectId, Option<Box<Sent>>)>,
    arrivals: Vec<Arrival>,
    /// When each change was told of.
    seen: Vec<Instant>,
}

impl Batch {
    /// An object changed.
    pub(super) fn object(&mut self, Change { id, what, seen }: Change, pods: &Pods) {
        self.seen.push(seen);
        let (input, standing, sent, issues) = match what {
            What::Put { parsed, issues, own, standing, sent } => {
                if let Object::Pod(pod) = &*parsed.object {
                    pods.put(&id.namespace, &id.name, pod);
                }
                (Input::Put(parsed, issues), standing, sent, own)
            }
            What::Refused { issues, targets, standing, sent } => {
                (Input::Refused(id.clone(), targets, issues), standing, sent, Vec::new())
            }
            What::Removed => {
                if id.kind == Kind::Pod {
                    pods.remove(&id.namespace, &id.name);
                }
                self.sent.push((id.clone(), None));
                (Input::Remove(id.clone()), None, None, Vec::new())
            }
        };
        let awaited = sent.is_some();
        self.sent.extend(sent.map(|sent| (id.clone(), Some(sent))));
        if awaited || has_status(id.kind) {
            self.arrivals.push(Arrival { id, standing, issues, awaited });
        }
        self.inputs.push(input);
    }

    /// A node's agent has spoken, of a pod that may have gone since: what was true of it is not of another of
    /// its name. What is queued before a report is in `pods`, and what comes after it undoes it.
    pub(super) fn report(&mut self, uid: WorkloadUid, pod_uid: &str, enrolled: bool, pods: &Pods) {
        if pods.running(&uid).is_none_or(|pod| *pod.pod_uid != *pod_uid) {
            tracing::debug!(pod = %uid, "a report about a pod that is gone");
            return;
        }
        self.seen.push(Instant::now());
        self.inputs.push(Input::Enrolled { uid, enrolled });
    }

    /// Compiles it, and sends what has changed on its way.
    pub(super) fn publish(mut self, store: &mut Store, objects: &mut Objects, outlet: &Outlet) {
        if self.inputs.is_empty() {
            return;
        }
        let changes = self.inputs.len();
        let mut delta = store.apply(self.inputs);
        let (issues, cost) = (std::mem::take(&mut delta.issues), delta.cost.total());
        outlet.gateways.follow(&delta);
        objects.bind(&delta);
        let services = std::mem::take(&mut delta.services);
        let mut news = concerning_waypoints(self.sent, &mut self.arrivals, objects, outlet);
        // Before what they concern: a waypoint that is told of a service has its policies.
        let mut all: Vec<_> = news.told.iter().map(Told::entry).collect();
        if !news.told.is_empty() {
            all.extend(credentials::want(&outlet.credentials, objects.credentials()));
        }
        all.extend(entries(delta, &services));
        tracing::debug!(changes, entries = all.len(), cost, "publishing");
        outlet.cache.publish(all);
        let bound = services.iter().filter_map(|(_, service)| service.as_deref()).map(bound::of_service).collect();
        news.update = outlet.findings.update(self.arrivals, issues, bound);
        outlet.review.put(news, services);

        let gauges = &outlet.gauges;
        gauges.batches.inc();
        gauges.changes.inc_by(u64::try_from(changes).unwrap_or(u64::MAX));
        gauges.cost.inc_by(u64::try_from(cost).unwrap_or(u64::MAX));
        gauges.config_issues.set(i64::try_from(outlet.findings.errors()).unwrap_or(i64::MAX));
        let now = Instant::now();
        self.seen.iter().for_each(|seen| gauges.publish_seconds.observe((now - *seen).as_secs_f64()));
    }
}

/// What waypoints are told now. Of an object that is not valid is said what that comes to.
fn concerning_waypoints(
    sent: Vec<(ObjectId, Option<Box<Sent>>)>,
    arrivals: &mut [Arrival],
    objects: &mut Objects,
    outlet: &Outlet,
) -> News {
    let gateways = &outlet.gateways;
    let mut news = News::default();
    let mut changed = false;
    for (id, sent) in sent {
        changed |= matches!(id.kind, Kind::Gateway | Kind::GatewayClass);
        let Some(mut sent) = sent else {
            gateways.remove(&id);
            objects.remove(&id);
            news.objects.push((id, None));
            continue;
        };
        if let Some(whole) = sent.whole.take() {
            gateways.put(&id, whole);
        }
        news.objects.push((id.clone(), Some(sent.json().clone())));
        let kept = objects.put(&id, *sent);
        let arrival = arrivals.iter_mut().rev().find(|arrival| arrival.id == id);
        arrival.into_iter().for_each(|arrival| say_what_comes_of_it(&mut arrival.issues, kept));
    }
    if changed {
        let now = gateways.waypoints();
        objects.exist(&now);
        news.waypoints = Some(now);
    }
    news.told = objects.settle();
    news
}

/// What the errors of an object come to, said at the first of them. Those of reading it have been said already.
fn say_what_comes_of_it(issues: &mut Vec<Issue>, kept: bool) {
    let problem = if kept { Problem::LastVersionKept } else { Problem::NotInForce };
    let first = issues.iter().find(|issue| issue.is_error());
    let said = first.map(|first| Issue { field: FieldPath::default(), problem, ..first.clone() });
    issues.extend(said);
}

fn entries(delta: Delta, services: &Changed<ServiceKey, Service>) -> Vec<Entry> {
    let Delta { workloads, authorizations, pods, meshed_namespaces, .. } = delta;
    let removed = |url, name: String| Entry::removed(url, name);
    let mut entries = Vec::new();
    // Policies first: a workload that points at one finds it there.
    entries.extend(authorizations.into_iter().map(|(key, policy)| match policy {
        Some(policy) => Entry::authorization(&policy),
        None => removed(TypeUrl::Authorization, key.to_string()),
    }));
    entries.extend(services.iter().map(|(key, service)| match service {
        Some(service) => Entry::service(service),
        None => removed(TypeUrl::Address, key.to_string()),
    }));
    entries.extend(workloads.into_iter().flat_map(|(uid, workload)| match workload {
        Some(workload) => [Entry::labels(&workload), Entry::workload(&workload)],
        None => [TypeUrl::Labels, TypeUrl::Address].map(|url| removed(url, uid.to_string())),
    }));
    entries.extend(pods.into_iter().map(|(uid, pod)| match pod {
        Some(pod) => Entry::pod(&pod),
        None => removed(TypeUrl::Pod, uid.to_string()),
    }));
    entries.extend(meshed_namespaces.into_iter().map(|(name, meshed)| {
        if meshed { Entry::meshed_namespace(&name) } else { removed(TypeUrl::MeshedNamespace, name.to_string()) }
    }));
    entries
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ambit_resources::parse_object;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_about_a_pod_that_was_replaced_or_has_gone_is_dropped() {
        let pods = Pods::new("Kubernetes".into(), "cluster.local".into());
        let uid = WorkloadUid::pod("Kubernetes", "shop", "web");
        let id = || ObjectId { kind: Kind::Pod, namespace: "shop".into(), name: "web".into() };
        let put = |pod_uid: &str| {
            let metadata = json!({ "name": "web", "namespace": "shop", "uid": pod_uid });
            let object =
                json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "nodeName": "n" } });
            let (parsed, issues) = parse_object(object, &Arc::from("test")).unwrap();
            What::Put { parsed: Box::new(parsed.unwrap()), issues, own: Vec::new(), standing: None, sent: None }
        };
        // What is queued before a report of pod 1; then whether that report counts.
        for (before, counts) in [
            (vec![], false),
            (vec![put("1")], true),
            (vec![put("1"), put("2")], false),
            (vec![put("1"), What::Removed], false),
            (vec![put("2"), put("1")], true),
        ] {
            pods.remove("shop", "web");
            let mut batch = Batch::default();
            for what in before {
                batch.object(Change { id: id(), what, seen: Instant::now() }, &pods);
            }
            batch.report(uid.clone(), "1", true, &pods);
            let found = batch.inputs.iter().any(|input| matches!(input, Input::Enrolled { .. }));
            assert_eq!(found, counts, "{:?}", batch.inputs);
        }
    }
}
