//! Where the plugin and its files are.

use std::path::{Path, PathBuf};

use clap::Args;

/// Settings of the CNI plugin. Without the two folders there is none.
#[derive(Debug, Clone, Args)]
pub(crate) struct CniArgs {
    /// Folder of the container runtime's networks (/etc/cni/net.d), wherever it is mounted: the CNI plugin is
    /// put into the network in use, and kept there [default: no plugin]
    #[arg(long, env = "AMBIT_CNI_NET_DIR", value_name = "DIR", requires = "cni_bin_dir")]
    cni_net_dir: Option<PathBuf>,

    /// Folder of the container runtime's plugins (/opt/cni/bin), wherever it is mounted.
    #[arg(long, env = "AMBIT_CNI_BIN_DIR", value_name = "DIR", requires = "cni_net_dir")]
    cni_bin_dir: Option<PathBuf>,

    /// The CNI plugin to install [default: ambit-cni, beside this program]
    #[arg(long, env = "AMBIT_CNI_PLUGIN", value_name = "FILE")]
    cni_plugin: Option<PathBuf>,

    /// Socket for the CNI plugin. Its folder, and that of --state, must have the same path here as on the
    /// node, where the plugin runs.
    #[arg(long, env = "AMBIT_CNI_SOCKET", value_name = "FILE", default_value = ambit_cni::SOCKET)]
    cni_socket: PathBuf,
}

/// Where the plugin and its files are.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Folder of the runtime's networks.
    pub(crate) networks: PathBuf,
    /// Folder of the runtime's plugins.
    pub(crate) plugins: PathBuf,
    /// The plugin to install.
    pub(crate) plugin: PathBuf,
    /// Where the agent listens.
    pub(crate) socket: PathBuf,
    /// The list of namespaces last known as meshed.
    pub(crate) meshed_namespaces: PathBuf,
}

impl CniArgs {
    /// The settings; none if no plugin is wanted. `state` is the agent's folder for what must survive it.
    pub(crate) fn settings(&self, state: &Path) -> Option<Settings> {
        Some(Settings {
            networks: self.cni_net_dir.clone()?,
            plugins: self.cni_bin_dir.clone()?,
            plugin: self.cni_plugin.clone().unwrap_or_else(beside_this_program),
            socket: self.cni_socket.clone(),
            meshed_namespaces: state.join("cni/meshed-namespaces.json"),
        })
    }
}

fn beside_this_program() -> PathBuf {
    // Without /proc it is looked for where the agent was started.
    std::env::current_exe().unwrap_or_default().with_file_name(ambit_cni::PLUGIN)
}
