//! Deploys waypoints, and says in their Gateways what became of them: the leader's work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::Roots;
use ambit_model::GatewayKey;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::deploy::{MANAGED, OverlayError, Overlays, Settings, parameters, render, uid};
use super::gateways::{CLASS, CONTROLLER, Gateways, Wanted};
use super::status::{self, Facts, Trouble};
use crate::backoff::Backoff;
use crate::failure::error_chain;
use crate::statuses::now;

/// Whose fields these are.
const MANAGER: &str = "ambitd";
/// Pauses after failures.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// How often parameters are read again.
const ROUND: Duration = Duration::from_mins(1);
/// How often what is deployed is written again, whoever changed it.
const RENEWAL: Duration = Duration::from_mins(10);

/// Deploys waypoints.
pub(crate) struct Deployer {
    client: Client,
    gateways: Arc<Gateways>,
    roots: watch::Receiver<Arc<Roots>>,
    settings: Settings,
    deployed: BTreeMap<GatewayKey, Deployed>,
    /// Gateways that are no waypoints and have nothing of one any more, by their uids.
    cleared: BTreeMap<GatewayKey, Option<String>>,
}

/// What was written for a waypoint.
#[derive(Debug)]
struct Deployed {
    objects: Vec<Value>,
    at: Instant,
    addresses: Vec<String>,
}

/// Why a waypoint is not deployed as it should be.
#[derive(Debug, thiserror::Error)]
enum DeployError {
    /// The API server, which may do it later.
    #[error("{object} cannot be read, written or deleted")]
    Kubernetes {
        /// What was to be.
        object: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// Somebody else's: it is not ours to change.
    #[error("{0} is there already and does not belong to the Gateway")]
    Foreign(String),
    /// What users want otherwise cannot be read.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// What users want otherwise is not there, for now.
    #[error("there is no ConfigMap {0} of parameters")]
    NoParameters(Arc<str>),
    /// What users want otherwise is in something else than a ConfigMap.
    #[error("parameters are in a ConfigMap, and not in a {0}")]
    ParametersElsewhere(String),
}

impl DeployError {
    /// Whether another try may go better, with nothing changed that is watched.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Kubernetes { .. } | Self::NoParameters(_))
    }

    fn is_in_parameters(&self) -> bool {
        matches!(self, Self::Overlay(_) | Self::NoParameters(_) | Self::ParametersElsewhere(_))
    }
}

impl Deployer {
    /// One that deploys the waypoints among `gateways`, with `roots`.
    pub(crate) fn new(
        client: Client,
        gateways: Arc<Gateways>,
        roots: watch::Receiver<Arc<Roots>>,
        settings: Settings,
    ) -> Self {
        let (deployed, cleared) = Default::default();
        Self { client, gateways, roots, settings, deployed, cleared }
    }

    /// Works for as long as this replica leads, and the world is known.
    pub(crate) async fn run(mut self, mut known: watch::Receiver<bool>, mut leads: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let ready =
                async { known.wait_for(|known| *known).await.is_ok() && leads.wait_for(|leads| *leads).await.is_ok() };
            if !ready.await {
                return; // the process is ending
            }
            let pause = if self.round().await {
                backoff.reset();
                ROUND
            } else {
                backoff.next()
            };
            // What cannot be done for one waypoint keeps no other waiting.
            tokio::select! {
                biased;
                changed = leads.changed() => {
                    if changed.is_err() {
                        return; // the process is ending
                    }
                    // Another leads, or did: what there is, is not as it was left.
                    self.deployed.clear();
                    self.cleared.clear();
                }
                () = self.gateways.changed() => {}
                changed = self.roots.changed() => if changed.is_err() {
                    return; // the authority is gone: the process is ending
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Looks after everything once. Whether all of it went well.
    async fn round(&mut self) -> bool {
        let mut well = self.classes().await;
        let wanted = self.gateways.wanted();
        self.deployed.retain(|key, _| wanted.iter().any(|waypoint| waypoint.key == *key));
        for waypoint in &wanted {
            let trouble = self.deploy(waypoint).await.err();
            if let Some(error) = &trouble {
                tracing::warn!(waypoint = %waypoint.key, error = error_chain(error), "cannot deploy a waypoint");
            }
            well &= !trouble.as_ref().is_some_and(DeployError::may_pass);
            let trouble = trouble.map(|error| Trouble {
                in_parameters: error.is_in_parameters(),
                message: error_chain(&error).to_string(),
            });
            well &= self.say(waypoint, trouble).await;
        }
        self.clear_others().await && well
    }

    /// Makes the class of waypoints where there is none, and says that ours are accepted.
    async fn classes(&self) -> bool {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &gateway_api("GatewayClass", "gatewayclasses"));
        if !self.gateways.has_class(CLASS) {
            let metadata = json!({ "name": CLASS });
            let class = json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GatewayClass",
                "metadata": metadata,
                "spec": { "controllerName": CONTROLLER, "description": "Waypoints of the mesh" },
            });
            match api.patch(CLASS, &PatchParams::apply(MANAGER), &Patch::Apply(&class)).await {
                Ok(_) => {}
                // A cluster without the Gateway API has no waypoints, and one where another made it a moment ago does.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return true,
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "cannot make the class of waypoints");
                    return false;
                }
            }
        }
        let mut well = true;
        for (name, class) in self.gateways.classes() {
            let (params, classes) = (PatchParams::default(), &api);
            let write = async |patch: Value| classes.patch_status(&name, &params, &Patch::Merge(patch)).await;
            if let Some(patch) = status::of_class(&class, &now()) {
                well &= written(write(patch).await, &name);
            }
            if let Some(patch) = status::features_of_class(&class)
                && let Err(error) = write(patch).await
            {
                tracing::debug!(%name, error = error_chain(&error), "features are not written");
            }
        }
        well
    }

    /// Deletes what was deployed for Gateways that are waypoints no more, be it by another leader. What belonged to one
    /// that is gone, Kubernetes deletes with it. Whether all of it went well.
    async fn clear_others(&mut self) -> bool {
        let others = self.gateways.others();
        let owner = |gateway: &Value| uid(gateway).map(str::to_owned);
        self.cleared.retain(|key, cleared| others.get(key).is_some_and(|gateway| owner(gateway) == *cleared));
        let mut well = true;
        for (key, gateway) in &others {
            if self.cleared.contains_key(key) {
                continue;
            }
            let mut left = false;
            // Of what it says only the names count.
            for object in render(key, gateway, &Overlays::default(), "", &self.settings) {
                if let Err(error) = self.delete(&object, uid(gateway)).await {
                    tracing::warn!(waypoint = %key, error = error_chain(&error), "cannot delete");
                    left = true;
                }
            }
            if !left {
                self.cleared.insert(key.clone(), owner(gateway));
            }
            well &= !left;
        }
        well
    }

    /// Deletes an object, if it is the Gateway's and a waypoint's: another may have come in its place, from whoever
    /// looks after the Gateway now.
    async fn delete(&self, object: &Value, owner: Option<&str>) -> Result<(), DeployError> {
        let Some((api, name)) = self.api(object) else { return Ok(()) };
        let failed = |error| DeployError::Kubernetes { object: shown(object), source: Box::new(error) };
        let found = api.get_opt(&name).await.map_err(failed)?;
        let is_managed = |found: &DynamicObject| {
            found.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED.0)).is_some_and(|by| by == MANAGED.1)
        };
        let Some(found) = found.filter(|found| is_of(found, owner) && is_managed(found)) else { return Ok(()) };
        let preconditions = Some(Preconditions { uid: found.metadata.uid, resource_version: None });
        match api.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(|_| ()).map_err(failed),
        }
    }

    /// Writes a waypoint's objects, where they are not so already.
    async fn deploy(&mut self, waypoint: &Wanted) -> Result<(), DeployError> {
        let overlays = self.overlays(waypoint).await?;
        let roots = self.roots.borrow().to_pem();
        let objects = render(&waypoint.key, &waypoint.gateway, &overlays, &roots, &self.settings);
        let known = self.deployed.get(&waypoint.key);
        if known.is_some_and(|known| known.objects == objects && known.at.elapsed() < RENEWAL) {
            return Ok(());
        }
        let mut addresses = Vec::new();
        for object in &objects {
            addresses.extend(self.write(object, uid(&waypoint.gateway)).await?);
        }
        tracing::info!(waypoint = %waypoint.key, "deployed");
        self.deployed.insert(waypoint.key.clone(), Deployed { objects, at: Instant::now(), addresses });
        Ok(())
    }

    async fn overlays(&self, waypoint: &Wanted) -> Result<Overlays, DeployError> {
        let name = parameters(&waypoint.gateway).map_err(DeployError::ParametersElsewhere)?;
        let Some(name) = name else { return Ok(Overlays::default()) };
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &waypoint.key.namespace);
        let found = api.get_opt(&name).await.map_err(|error| DeployError::Kubernetes {
            object: format!("ConfigMap {name}"),
            source: Box::new(error),
        })?;
        let found = found.ok_or(DeployError::NoParameters(name))?;
        Ok(Overlays::read(&found.data.unwrap_or_default())?)
    }

    /// Writes an object, unless it is there and somebody else's; gives the addresses it has.
    async fn write(&self, object: &Value, owner: Option<&str>) -> Result<Vec<String>, DeployError> {
        let Some((api, name)) = self.api(object) else { return Ok(Vec::new()) };
        let failed = |error| DeployError::Kubernetes { object: shown(object), source: Box::new(error) };
        let found = api.get_opt(&name).await.map_err(failed)?;
        if found.is_some_and(|found| !is_of(&found, owner)) {
            return Err(DeployError::Foreign(shown(object)));
        }
        // Ours, so that whoever else wrote its fields is overruled.
        let written = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
        let written = written.map_err(failed)?;
        let addresses = written.data.pointer("/spec/clusterIPs").and_then(Value::as_array);
        Ok(addresses.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Writes the status of a Gateway, where it does not say so already.
    async fn say(&self, waypoint: &Wanted, trouble: Option<Trouble>) -> bool {
        let addresses = self.deployed.get(&waypoint.key).map(|deployed| deployed.addresses.clone());
        let (ready, attached) = (waypoint.ready, waypoint.attached.clone());
        let facts = Facts { ready, addresses: addresses.unwrap_or_default(), trouble, attached };
        let Some(patch) = status::of_gateway(&waypoint.gateway, &facts, &now()) else { return true };
        let resource = gateway_api("Gateway", "gateways");
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &waypoint.key.namespace, &resource);
        let name = &waypoint.key.name;
        written(api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await, name)
    }

    /// Where an object is written, and its name.
    fn api(&self, object: &Value) -> Option<(Api<DynamicObject>, String)> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str);
        let (kind, version) = (text("/kind")?, text("/apiVersion")?);
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let plural = format!("{}s", kind.to_ascii_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural);
        let api = Api::namespaced_with(self.client.clone(), text("/metadata/namespace")?, &resource);
        Some((api, text("/metadata/name")?.to_owned()))
    }
}

/// Whether an object that is there belongs to the Gateway of this uid.
fn is_of(found: &DynamicObject, owner: Option<&str>) -> bool {
    let owners = found.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|it| Some(it.uid.as_str()) == owner)
}

/// An object for people.
fn shown(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

fn gateway_api(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind), plural)
}

/// Whether a status was written. One that is gone or changed meanwhile is told of by the watch.
fn written<T>(answer: Result<T, kube::Error>, name: &str) -> bool {
    match answer {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => true,
        Err(error) => {
            tracing::warn!(name, error = error_chain(&error), "cannot write a status");
            false
        }
    }
}

#[cfg(test)]
mod tests;
