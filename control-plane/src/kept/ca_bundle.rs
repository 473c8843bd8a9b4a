//! The `caBundle` of the validating webhook: by it the API server checks that it talks to the control plane.

use std::sync::Arc;

use ambit_identity::Roots;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

/// Keeps it in the configuration `name`. That itself is made by who installs the mesh; while there is none,
/// there is nothing to keep.
pub(crate) async fn keep(client: Client, name: String, roots: watch::Receiver<Arc<Roots>>) {
    super::keep(Api::all(client), &name, roots, write).await;
}

type Configuration = ValidatingWebhookConfiguration;

async fn write(api: Api<Configuration>, found: Option<Configuration>, wanted: String) -> Result<bool, kube::Error> {
    let Some(found) = found else { return Ok(false) };
    let wanted = ByteString(wanted.into_bytes());
    let webhooks = found.webhooks.iter().flatten();
    let wrong: Vec<_> = webhooks.filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&wanted)).collect();
    if wrong.is_empty() {
        return Ok(false);
    }
    // Strategic: the list is merged by name, so that everything else of each webhook stays.
    let right = |name: &str| json!({ "name": name, "clientConfig": { "caBundle": &wanted } });
    let webhooks: Vec<_> = wrong.iter().map(|webhook| right(&webhook.name)).collect();
    let patch = Patch::Strategic(json!({ "webhooks": webhooks }));
    match api.patch(&found.name_any(), &PatchParams::default(), &patch).await {
        // Removed meanwhile: nothing to keep.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        written => written.map(|_| true),
    }
}
