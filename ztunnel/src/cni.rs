//! The agent's side of the CNI plugin: serves it, installs it, keeps it installed, and keeps the list it
//! goes by while the agent is away.
//!
//! What is installed stays when the agent stops: a pod of the mesh that starts meanwhile must not start
//! uncaptured. Only `--uninstall` takes it away.

mod installer;
mod known;
mod networks;
mod server;
mod settings;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use ambit_cni::{Answer, Request};
use ambit_runtime::spawn;
use tokio::sync::watch;

use self::server::ListenError;
use crate::app::Control;

pub(crate) use installer::uninstall;
pub(crate) use settings::{CniArgs, Settings};

/// Namespaces of the mesh; none while it is not known which they are.
pub(crate) type MeshedNamespaces = watch::Receiver<Option<Arc<BTreeSet<Arc<str>>>>>;

/// Who knows the pods of this node. A future is dropped when the plugin is no longer waiting for it.
pub(crate) trait Pods: Send + Sync + 'static {
    /// A pod has its network and waits to start: enrols it if it belongs to the mesh.
    fn added(&self, pod: Request) -> impl Future<Output = Answer> + Send;
    /// Whether a pod is as it should be.
    fn checked(&self, pod: Request) -> impl Future<Output = Answer> + Send;
    /// A pod is about to lose its network: what the agent has in it must go.
    fn deleted(&self, pod: Request) -> impl Future<Output = ()> + Send;
}

/// Starts all of it. Not before the agent can answer: then pods wait for it that it has nothing to say
/// about.
pub(crate) fn start(
    settings: &Settings,
    pods: Arc<impl Pods>,
    meshed: MeshedNamespaces,
    control: &Control,
) -> Result<(), ListenError> {
    let Control { drain, readiness, .. } = control;
    let listener = server::listen(&settings.socket)?;
    spawn("CNI socket", drain, server::serve(listener, pods, drain.clone()));
    let installed = readiness.condition("CNI plugin");
    spawn("CNI installation", drain, installer::keep(settings.clone(), installed, drain.clone()));
    let written = readiness.condition("list of meshed namespaces");
    spawn("meshed namespaces", drain, known::keep(settings.meshed_namespaces.clone(), meshed, written, drain.clone()));
    Ok(())
}

/// Whether a namespace was last known as meshed. Where that cannot be told it may have been.
pub(crate) fn was_meshed(list: &Path, namespace: &str) -> bool {
    match ambit_cni::meshed::read(list) {
        Ok(namespaces) => namespaces.contains(namespace),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "taking every namespace for a meshed one");
            true
        }
    }
}
