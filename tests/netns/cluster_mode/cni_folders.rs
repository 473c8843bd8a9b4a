//! A container runtime's folders, as an agent finds them on its node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use ambit_tests::Agent;

use super::fleet::Fleet;

pub(crate) struct CniFolders {
    /// `/etc/cni/net.d`
    pub(crate) networks: PathBuf,
    /// `/opt/cni/bin`
    pub(crate) plugins: PathBuf,
    /// What is to be installed.
    plugin: PathBuf,
    /// Where the plugin finds the agent.
    pub(crate) socket: PathBuf,
}

impl CniFolders {
    /// Empty ones.
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        let of = |name| directory.join(name);
        let folders =
            Self { networks: of("net.d"), plugins: of("bin"), plugin: of("ambit-cni"), socket: of("cni.sock") };
        fs::create_dir(&folders.networks)?;
        fs::create_dir(&folders.plugins)?;
        fs::write(&folders.plugin, "#!/bin/sh\n")?;
        Ok(folders)
    }

    /// Starts the agent of a node, which looks after them.
    pub(crate) fn start_agent<'a>(&self, fleet: &'a mut Fleet, node: u8) -> Result<&'a mut Agent> {
        let options = [
            ("--cni-net-dir", &self.networks),
            ("--cni-bin-dir", &self.plugins),
            ("--cni-plugin", &self.plugin),
            ("--cni-socket", &self.socket),
        ]
        .map(|(name, path)| (name, path.to_string_lossy().into_owned()));
        fleet.start_agent(node, &options.each_ref().map(|(name, value)| (*name, value.as_str())))
    }
}
