//! Where the authority comes from: its Secret is found, made once, and watched.

use ambit_identity::{CaOptions, NewRoot};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Error};

use super::secret::{self, Material, SecretError};
use crate::failure::error_chain;

/// The operator's own authority.
pub(super) const PLUGGED_IN: &str = "cacerts";
/// The authority made here.
pub(super) const OWN: &str = "ambit-ca";

/// Which Secret is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: &'static str,
    /// `metadata.resourceVersion`.
    pub(super) version: Option<String>,
}

/// A Secret as it is now; none when it is gone.
pub(super) struct Change {
    pub(super) name: &'static str,
    pub(super) secret: Option<Secret>,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The API server did not do what was asked.
    #[error("cannot {action} the Secret {name}")]
    Api {
        /// What was asked.
        action: &'static str,
        /// Of which Secret.
        name: &'static str,
        /// Why not.
        source: Box<Error>,
    },
    /// The Secret cannot be used. It is never made anew by itself.
    #[error("the Secret {name} cannot be used; repair it, or remove it for a new authority (which nobody trusts yet)")]
    Secret {
        /// Which one.
        name: &'static str,
        /// What is wrong.
        source: SecretError,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Generate(#[source] ambit_identity::GenerateError),
}

/// The authority of the Secrets, made if there is none. However many do so at once, all get the same one:
/// the API server lets one of them create it, and the others read that.
pub(super) async fn find_or_create(
    secrets: &Api<Secret>,
    options: &CaOptions,
) -> Result<(Found, Material), SourceError> {
    for name in [PLUGGED_IN, OWN] {
        if let Some(secret) = secrets.get_opt(name).await.map_err(api("read", name))? {
            return read(name, &secret, options);
        }
    }
    let root = NewRoot::generate(options).map_err(SourceError::Generate)?;
    let new = Secret {
        metadata: ObjectMeta { name: Some(OWN.to_owned()), ..ObjectMeta::default() },
        string_data: Some(secret::data(root)),
        ..Secret::default()
    };
    let secret = match secrets.create(&PostParams::default(), &new).await {
        Ok(secret) => {
            tracing::info!(secret = OWN, "made a certificate authority");
            secret
        }
        Err(Error::Api(status)) if status.is_already_exists() => secrets.get(OWN).await.map_err(api("read", OWN))?,
        Err(error) => return Err(api("create", OWN)(error)),
    };
    read(OWN, &secret, options)
}

/// Both Secrets, from now on. Each is told of once to begin with.
pub(super) fn changes(secrets: &Api<Secret>) -> impl Stream<Item = Change> + Unpin + use<> {
    stream::select(watch(secrets, PLUGGED_IN), watch(secrets, OWN))
}

/// By its name alone: permission to read other Secrets is not needed.
fn watch(secrets: &Api<Secret>, name: &'static str) -> BoxStream<'static, Change> {
    watch_object(secrets.clone(), name)
        .default_backoff()
        .filter_map(move |event: Result<_, watcher::Error>| {
            let change = match event {
                Ok(secret) => Some(Change { name, secret }),
                Err(error) => {
                    tracing::warn!(secret = name, error = error_chain(&error), "Secret not watched, trying again");
                    None
                }
            };
            async { change }
        })
        .boxed()
}

fn read(name: &'static str, secret: &Secret, options: &CaOptions) -> Result<(Found, Material), SourceError> {
    let material = secret::read(secret, options).map_err(|source| SourceError::Secret { name, source })?;
    Ok((Found { name, version: secret.metadata.resource_version.clone() }, material))
}

fn api(action: &'static str, name: &'static str) -> impl FnOnce(Error) -> SourceError {
    move |source| SourceError::Api { action, name, source: Box::new(source) }
}
