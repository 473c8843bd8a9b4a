//! Where this agent's configuration and certificates come from: a folder and an authority of its own, or
//! the control plane. What else there is of the agent does not know which.

use std::path::PathBuf;
use std::sync::Arc;

use ambit_folder::Folder;
use ambit_identity::{CertificateAuthority, Identities, TrustBundle};
use ambit_runtime::spawn;
use ambit_uplink::{ControlPlane, RemoteAuthority};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::app::Control;
use crate::cluster::{self, Cluster, LastGood};
use crate::config::{Config, ControlPlaneConfig, SourceConfig};
use crate::enrolment::Standings;
use crate::folder::{self, Standalone};
use crate::local_pods::LocalPods;
use crate::netns_finder::NetnsFinder;
use crate::outlet::Outlet;
use crate::{cni, reports};

/// Where configuration and certificates come from.
pub(crate) struct Feed {
    source: Source,
    /// Certificates and trust.
    pub(crate) identities: Identities,
    /// Looks for the network namespaces that nobody named; none in standalone mode, where users name them.
    pub(crate) finder: Option<NetnsFinder>,
}

enum Source {
    Folder(PathBuf),
    ControlPlane(Box<ControlPlaneConfig>, ControlPlane),
}

impl Feed {
    /// Opens it; nothing is read or asked for yet.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let runtime = Handle::current();
        match &config.source {
            SourceConfig::Folder(path) => Ok(Self {
                source: Source::Folder(path.clone()),
                identities: Identities::embedded(&config.identity.state, &config.identity.options(), runtime)?,
                finder: None,
            }),
            SourceConfig::ControlPlane(control_plane) => {
                let uplink = &control_plane.uplink;
                // Roots to begin with, until the control plane says others.
                let bundle = Arc::new(TrustBundle::load(&uplink.roots)?);
                let channel = ambit_uplink::channel(uplink, &config.node.cluster, Arc::clone(&bundle))?;
                let authority = RemoteAuthority::new(uplink.address.clone(), channel.clone());
                Ok(Self {
                    identities: Identities::remote(authority, bundle, &config.identity.options(), runtime),
                    finder: Some(NetnsFinder::new(control_plane.netns_dirs.clone(), PathBuf::from("/proc"))?),
                    source: Source::ControlPlane(Box::new(control_plane.clone()), channel),
                })
            }
        }
    }

    /// Begins to publish through `outlet`. How enrolment stands is told to whom it concerns.
    pub(crate) fn start(
        self,
        config: &Config,
        outlet: Outlet,
        standings: watch::Receiver<Standings>,
        control: &Control,
    ) {
        match self.source {
            Source::Folder(path) => {
                let roots = CertificateAuthority::roots_path(&config.identity.state);
                let bundle = self.identities.bundle;
                spawn("trust bundle", &control.drain, async move { bundle.watch(&roots).await });
                watch_folder(path, config, outlet, control);
            }
            Source::ControlPlane(control_plane, channel) => {
                let kept = LastGood::new(&config.identity.state, &config.node.name).read().unwrap_or_else(|error| {
                    tracing::error!(error = &error as &dyn std::error::Error, "the last good state is not to be had");
                    None
                });
                let cluster = Arc::new(Cluster::new(outlet, self.identities.bundle, kept.as_ref()));
                cluster::follow(&cluster, channel.clone(), config, &control_plane, &control.drain);
                spawn("reports", &control.drain, reports::report(channel, standings.clone()));
                serve_cni(config, cluster, standings, control);
            }
        }
    }
}

/// Serves the folder; if it can no longer be watched the agent stops, rather than enforce what its
/// users changed long ago.
fn watch_folder(path: PathBuf, config: &Config, outlet: Outlet, control: &Control) {
    let options = folder::options(&config.identity.trust_domain, &config.node.cluster, &config.node.root_namespace);
    let saved = folder::saved(&config.identity.state, &config.node.name);
    let folder = Folder::new(path, saved, Standalone::new(config.node.name.clone(), options, outlet));
    let stop = control.stop.clone();
    spawn("configuration", &control.drain, async move {
        if let Err(error) = folder.serve().await {
            tracing::error!(error = &error as &dyn std::error::Error, "stopping: the configuration is not to be had");
            stop.cancel();
        }
    });
}

/// Serves the CNI plugin from when there is something to say on.
fn serve_cni(config: &Config, cluster: Arc<Cluster>, standings: watch::Receiver<Standings>, control: &Control) {
    let Some(settings) = config.cni.clone() else { return };
    let control = control.clone();
    tokio::spawn(async move {
        let meshed = cluster.meshed();
        if cluster.publications().wait_for(|version| *version > 0).await.is_err() {
            return;
        }
        let pods = LocalPods::new(cluster, standings, settings.meshed_namespaces.clone());
        if let Err(error) = cni::start(&settings, Arc::new(pods), meshed, &control) {
            tracing::error!(error = &error as &dyn std::error::Error, "stopping: the CNI plugin cannot be served");
            control.stop.cancel();
        }
    });
}
