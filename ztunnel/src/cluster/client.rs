//! Keeps the source fed by the control plane, and the last good state on disk.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ambit_runtime::{Drain, spawn};
use ambit_uplink::{ControlPlane, OwnPod};
use ambit_xds::{Client, ClientOptions, Disconnected, Handler, Rejected, Subscription, TypeUrl, Update};
use tokio::time::Instant;

use super::{Cluster, LastGood};
use crate::config::{AgentPod, Config, ControlPlaneConfig};
use crate::failure::error_chain;

/// How long the control plane may take at the start before the last good state takes its place.
const PATIENCE: Duration = Duration::from_secs(2);
/// Shortest time between two writes of the last good state.
const WRITE_PAUSE: Duration = Duration::from_secs(1);
/// The same, where nothing changed but the rest of the mesh. All of it is written each time, and it is not
/// worth that: the control plane is asked for what is newer before anything else.
const WRITE_PAUSE_OF_OTHERS: Duration = Duration::from_secs(30);

/// Follows the control plane until the agent ends.
pub(crate) fn follow(
    cluster: &Arc<Cluster>,
    channel: ControlPlane,
    config: &Config,
    control_plane: &ControlPlaneConfig,
    drain: &Drain,
) {
    let options = ClientOptions {
        node: own_pod(config, control_plane).node_info("ztunnel"),
        types: TypeUrl::OF_AGENTS.map(|of| (of, Subscription::Wildcard)).to_vec(),
        held: cluster.versions(),
    };
    let mut listener =
        Listener { cluster: Arc::clone(cluster), address: control_plane.uplink.address.clone(), connected: false };
    // Until the very end: connections that are still open are to be judged by what holds now.
    let cancel = drain.cut_off().clone();
    spawn("discovery", drain, async move {
        let connect = || std::future::ready(Ok(channel.clone()));
        Client::new(options).run(connect, &mut listener, &cancel).await;
    });
    let late = Arc::clone(cluster);
    tokio::spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        late.fall_back("it has not said everything yet");
    });
    let (cluster, last_good) = (Arc::clone(cluster), LastGood::new(&config.identity.state, &config.node.name));
    spawn("last good state", drain, async move { match keep(&cluster, &last_good).await {} });
}

/// Writes what is in force whenever it changed.
async fn keep(cluster: &Cluster, last_good: &LastGood) -> Infallible {
    let mut written_at = Instant::now();
    loop {
        let held = cluster.next_held(written_at + WRITE_PAUSE_OF_OTHERS).await;
        let last_good = last_good.clone();
        // Beside the main thread: it is as large as the mesh.
        let written = tokio::task::spawn_blocking(move || last_good.write(&held)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "cannot keep the last good state for the next start");
        }
        written_at = Instant::now();
        tokio::time::sleep(WRITE_PAUSE).await;
    }
}

fn own_pod(config: &Config, control_plane: &ControlPlaneConfig) -> OwnPod {
    let AgentPod { name, namespace, ip } = control_plane.pod.clone();
    OwnPod { name, namespace, ip, node: config.node.name.clone(), cluster: config.node.cluster.clone() }
}

/// Hands on what the discovery client hears.
struct Listener {
    cluster: Arc<Cluster>,
    address: String,
    connected: bool,
}

impl Handler for Listener {
    fn apply(&mut self, update: Update) -> Result<(), Vec<Rejected>> {
        self.cluster.take(update)
    }

    fn connected(&mut self) {
        self.connected = true;
        tracing::info!(address = self.address, "connected to the control plane");
    }

    fn disconnected(&mut self, why: &Disconnected) {
        let reason = error_chain(why as &dyn Error);
        // One line for each connection lost, not for each attempt that fails thereafter.
        if self.connected {
            tracing::warn!(address = self.address, reason, "lost the control plane; what is in force stays so");
        } else {
            tracing::debug!(address = self.address, reason, "the control plane cannot be reached");
        }
        self.connected = false;
        self.cluster.fall_back(&format!("the control plane at {}: {reason}", self.address));
    }
}
