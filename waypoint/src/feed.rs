//! Where configuration and certificates come from: a folder and an authority of the machine's own, or the control
//! plane. What else there is of the waypoint does not know which.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_folder::Folder;
use ambit_identity::{CertificateAuthority, Identities, TrustBundle};
use ambit_runtime::{Condition, spawn};
use ambit_telemetry::AgentMetrics;
use ambit_uplink::{ControlPlane, OwnPod, RemoteAuthority, channel};
use ambit_xds::{Client, ClientOptions, Subscription, TypeUrl};
use tokio::runtime::Handle;

use crate::app::Control;
use crate::cluster::Cluster;
use crate::config::{Config, SourceConfig};
use crate::failure::error_chain;
use crate::manifests::Standalone;
use crate::outlet::{Outlet, Published};

/// How often it is looked whether there is a certificate at last; attempts are made in their own time.
const PAUSE: Duration = Duration::from_millis(200);

/// Where configuration and certificates come from.
pub(crate) struct Feed {
    source: Source,
    /// Certificates and trust.
    pub(crate) identities: Identities,
}

enum Source {
    Folder { path: PathBuf, state: PathBuf },
    ControlPlane { address: String, pod: Box<OwnPod>, channel: ControlPlane },
}

impl Feed {
    /// Opens it; nothing is read or asked for yet.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let runtime = Handle::current();
        match config.source.clone() {
            SourceConfig::Folder { path, state } => {
                let identities = Identities::embedded(&state, &config.identity, runtime)?;
                Ok(Self { source: Source::Folder { path, state }, identities })
            }
            SourceConfig::ControlPlane(settings, pod) => {
                // Roots to begin with, until the control plane says others.
                let bundle = Arc::new(TrustBundle::load(&settings.roots)?);
                let channel = channel(&settings, &config.options.cluster, Arc::clone(&bundle))?;
                let authority = RemoteAuthority::new(settings.address.clone(), channel.clone());
                let identities = Identities::remote(authority, bundle, &config.identity, runtime);
                let (address, pod) = (settings.address, Box::new(pod));
                Ok(Self { source: Source::ControlPlane { address, pod, channel }, identities })
            }
        }
    }

    /// Begins to publish through `outlet`.
    pub(crate) fn start(self, config: &Config, outlet: Outlet, metrics: AgentMetrics, control: &Control) {
        let bundle = self.identities.bundle;
        match self.source {
            Source::Folder { path, state } => {
                let roots = CertificateAuthority::roots_path(&state);
                spawn("trust bundle", &control.drain, async move { bundle.watch(&roots).await });
                let manifests = Standalone::new(config.name.clone(), config.options.clone(), outlet, metrics);
                let of = format!("waypoint-{}", config.name.gateway).replace('/', ".");
                watch_folder(Folder::new(path, state.join("manifests").join(of), manifests), control);
            }
            Source::ControlPlane { address, pod, channel } => {
                let own = (config.name.clone(), Arc::clone(&config.options.root_namespace));
                let mut cluster = Cluster::new(address, own, outlet, bundle, metrics);
                let types = TypeUrl::OF_WAYPOINTS.map(|of| (of, Subscription::Wildcard)).to_vec();
                let options = ClientOptions { node: pod.node_info("waypoint"), types, ..ClientOptions::default() };
                // Until the very end: what is still open is to be judged by what holds now.
                let end = control.drain.cut_off().clone();
                spawn("discovery", &control.drain, async move {
                    let connect = || std::future::ready(Ok(channel.clone()));
                    Client::new(options).run(connect, &mut cluster, &end).await;
                });
            }
        }
    }
}

/// Serves the folder; if it can no longer be watched the waypoint stops, rather than enforce what its users changed
/// long ago.
fn watch_folder(folder: Folder<Standalone>, control: &Control) {
    let stop = control.stop.clone();
    spawn("configuration", &control.drain, async move {
        if let Err(error) = folder.serve().await {
            tracing::error!(error = &error as &dyn std::error::Error, "stopping: the configuration is not to be had");
            stop.cancel();
        }
    });
}

/// Holds once there is a certificate: before that no client could open a tunnel.
pub(crate) async fn certified(mut published: Published, identities: Identities, condition: Condition) {
    published.first().await;
    loop {
        let identity = published.load().own.identity.clone();
        match identities.certificates.certificate(&identity).await {
            Ok(_) => break condition.ok(),
            Err(error) => condition.failed(error_chain(&error)),
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Given up, it would no longer hold.
    std::future::pending().await
}
