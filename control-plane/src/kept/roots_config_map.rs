//! The ConfigMap with the mesh's roots: by it agents check that they talk to the control plane.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_identity::Roots;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

/// Its name, as the field's agents mount it.
const NAME: &str = "istio-ca-root-cert";
/// Its key.
const KEY: &str = "root-cert.pem";

/// Keeps it in the control plane's namespace.
pub(crate) async fn keep(client: Client, namespace: String, roots: watch::Receiver<Arc<Roots>>) {
    super::keep(Api::namespaced(client, &namespace), NAME, roots, write).await;
}

async fn write(api: Api<ConfigMap>, found: Option<ConfigMap>, wanted: String) -> Result<bool, kube::Error> {
    let Some(found) = found else { return create(&api, wanted).await };
    if found.data.as_ref().and_then(|data| data.get(KEY)) == Some(&wanted) {
        return Ok(false);
    }
    let patch = Patch::Merge(json!({ "data": { KEY: &wanted } }));
    match api.patch(NAME, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => create(&api, wanted).await,
        written => written.map(|_| true),
    }
}

async fn create(api: &Api<ConfigMap>, wanted: String) -> Result<bool, kube::Error> {
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(KEY.to_owned(), wanted)])),
        ..ConfigMap::default()
    };
    match api.create(&PostParams::default(), &map).await {
        // Another replica was faster; the watch shows what it wrote.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        created => created.map(|_| true),
    }
}
