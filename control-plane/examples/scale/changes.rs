//! Changes, each timed from its write to the last stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::api::Api;
use crate::board::Board;
use crate::cluster::{Cluster, PODS_PER_SERVICE, app, namespace, uid};
use crate::figures::{Latencies, Latency};

/// Churn, in changes a second.
const RATE: usize = 100;
/// How long a change is waited for. In the smallest cluster churn comes back to a pod after ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// Turns the readiness of pods all over the cluster, one after the other.
pub(crate) async fn readiness(cluster: &mut Cluster, board: &Board, changes: usize) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for n in 0..changes {
        let pod = n * cluster.pods() / changes;
        let (path, status) = cluster.flip(pod);
        let write = cluster.api.merge(&path, &status);
        latencies.add(timed(board, &[uid(pod)], write).await?);
    }
    Ok(latencies)
}

/// Creates policies, one after the other, each for the pods of a Service: they too change.
pub(crate) async fn policies(cluster: &Cluster, board: &Board, changes: usize) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for n in 0..changes.min(cluster.pods() / PODS_PER_SERVICE) {
        let first = n * PODS_PER_SERVICE;
        let (namespace, name) = (namespace(first), format!("policy-{n}"));
        let from = json!([{"source": {"principals": [format!("cluster.local/ns/{namespace}/sa/client")]}}]);
        let spec = json!({"selector": {"matchLabels": {"app": app(first)}}, "rules": [{"from": from}]});
        let policy = json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": name}, "spec": spec,
        });
        let path = format!("/apis/security.istio.io/v1/namespaces/{namespace}/authorizationpolicies");
        let of_pods = (first..first + PODS_PER_SERVICE).map(uid);
        let names: Vec<_> = of_pods.chain([format!("{namespace}/{name}").into()]).collect();
        latencies.add(timed(board, &names, cluster.api.create(&path, &policy)).await?);
    }
    Ok(latencies)
}

/// Turns the readiness of pods, so many a second, whatever becomes of those before.
pub(crate) async fn churn(cluster: &mut Cluster, board: &Arc<Board>, seconds: usize) -> Result<Latencies> {
    let mut tick = interval(Duration::from_secs(1) / u32::try_from(RATE)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut changes = JoinSet::new();
    for n in 0..seconds * RATE {
        tick.tick().await;
        let pod = n % cluster.pods();
        let (path, status) = cluster.flip(pod);
        changes.spawn(change(cluster.api.clone(), Arc::clone(board), pod, path, status));
    }
    let mut latencies = Latencies::default();
    while let Some(done) = changes.join_next().await {
        latencies.add(done??);
    }
    Ok(latencies)
}

async fn change(api: Api, board: Arc<Board>, pod: usize, path: String, status: Value) -> Result<Option<Latency>> {
    timed(&board, &[uid(pod)], api.merge(&path, &status)).await
}

/// Nothing if not all streams had it in time.
async fn timed(
    board: &Board,
    names: &[Arc<str>],
    write: impl Future<Output = Result<Value>>,
) -> Result<Option<Latency>> {
    let told = board.expect(names);
    let sent = Instant::now();
    write.await?;
    let answered = Instant::now();
    let had = timeout(PATIENCE, told).await;
    board.forget(names);
    // Streams may be faster than the API server's answer.
    Ok(had.ok().and_then(Result::ok).map(|last| Latency {
        from_answer: last.saturating_duration_since(answered),
        from_request: last.saturating_duration_since(sent),
    }))
}
