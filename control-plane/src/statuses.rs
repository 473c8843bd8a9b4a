//! Statuses of users' objects, written by the leader where they do not say what they should.

mod said;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::failure::error_chain;
use crate::findings::{Findings, Overdue};
use crate::kinds::Watched;
use crate::raw::Raw;

pub(crate) use said::Said;

/// Pauses after failures.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// Writes them for as long as this replica leads, and the world is known: before, there would be less to say
/// than there is.
pub(crate) async fn keep(
    client: Client,
    findings: Arc<Findings>,
    mut known: watch::Receiver<bool>,
    mut leads: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let ready =
            async { known.wait_for(|known| *known).await.is_ok() && leads.wait_for(|leads| *leads).await.is_ok() };
        if !ready.await {
            return; // the process is ending
        }
        let mut failed = false;
        for overdue in findings.overdue(&now()) {
            failed |= write(&client, &findings, overdue).await.is_err();
        }
        if failed {
            tokio::time::sleep(backoff.next()).await;
        } else {
            backoff.reset();
            findings.changed().await;
        }
    }
}

async fn write(client: &Client, findings: &Findings, overdue: Overdue) -> Result<(), kube::Error> {
    let Overdue { id, patch, served, .. } = &overdue;
    let Some(watched) = Watched::of(id.kind) else { return Ok(()) };
    // By the version it was read by: an older definition may not have the best.
    let watched = Watched { version: served, ..*watched };
    let api = Api::<Raw>::namespaced_with(client.clone(), &id.namespace, &watched);
    match api.patch_status(&id.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => {}
        // Gone, without a status of its own, or changed meanwhile: the watch tells what there is to write then.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            tracing::debug!(object = %id, %status, "status not written");
        }
        Err(error) => {
            tracing::warn!(object = %id, error = error_chain(&error), "cannot write a status");
            return Err(error);
        }
    }
    findings.written(overdue);
    Ok(())
}

/// Now, as the API writes times.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ambit_resources::{Kind, ObjectId};
    use futures::FutureExt;
    use serde_json::json;

    use super::*;
    use crate::fake_api;
    use crate::findings::Arrival;
    use crate::standing::Standing;

    #[tokio::test]
    async fn a_status_is_written_at_the_version_the_object_was_read_by() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let client = fake_api::client(move |asked| {
            seen.lock().unwrap().push(asked.path);
            async { Ok(json!({ "metadata": { "name": "p" } })) }.boxed()
        });
        let findings = Arc::new(Findings::default());
        for (name, version) in [("new", "v1"), ("old", "v1beta1")] {
            let id = ObjectId { kind: Kind::PeerAuthentication, namespace: "shop".into(), name: name.into() };
            let object = json!({ "metadata": { "generation": 1, "resourceVersion": "7" } });
            let standing = Some(Box::new(Standing::of(id.kind, &object, version)));
            let arrival = Arrival { id, standing, issues: Vec::new(), awaited: false };
            findings.update(vec![arrival], Vec::new(), Vec::new());
        }
        let (_known, known) = watch::channel(true);
        let (_leads, leads) = watch::channel(true);
        let keeping = keep(client, Arc::clone(&findings), known, leads);
        let done = async {
            while !findings.overdue("").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = keeping => unreachable!("it goes on for ever"),
            () = done => {}
        }
        let mut asked = asked.lock().unwrap().clone();
        asked.sort();
        let path = |version, name| {
            format!("/apis/security.istio.io/{version}/namespaces/shop/peerauthentications/{name}/status")
        };
        assert_eq!(asked, [path("v1", "new"), path("v1beta1", "old")]);
    }
}
