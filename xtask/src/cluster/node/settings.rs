//! The files a node's programs read. What others may change, as the plugin chain in /etc/cni/net.d, is
//! written with the node's first start only.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::json;

use crate::cluster::{
    layout::{DNS, Node},
    own_images::PAUSE,
};

/// The kubelet's settings, on the node's disk.
pub(super) const KUBELET: &str = "kubelet.json";

/// Debian's folder of CNI plugins.
const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Writes them, unless the node was started before.
pub(super) fn write(node: Node) -> Result<()> {
    let disk = node.disk();
    if disk.join(KUBELET).exists() {
        return Ok(());
    }
    for folder in ["etc/cni/net.d", "etc/containerd", "opt/cni/bin"] {
        fs::create_dir_all(disk.join(folder))?;
    }
    copy_plugins(&disk.join("opt/cni/bin"))?;
    fs::write(disk.join("etc/cni/net.d/10-pods.conflist"), format!("{:#}", pod_network(node)))?;
    fs::write(disk.join("etc/containerd/config.toml"), containerd())?;
    fs::write(disk.join("resolv.conf"), format!("nameserver {DNS}\n"))?;
    fs::write(disk.join(KUBELET), kubelet(node).to_string()).with_context(|| format!("settings of {node}"))
}

fn copy_plugins(to: &Path) -> Result<()> {
    for entry in fs::read_dir(CNI_PLUGINS).with_context(|| format!("reading {CNI_PLUGINS}"))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Plain bridging, addresses as they are on the wire.
fn pod_network(node: Node) -> serde_json::Value {
    let ranges = node.pods().map(|subnet| json!([{ "subnet": subnet }]));
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": ranges,
                    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

fn containerd() -> String {
    // Without CAP_SYS_RESOURCE, as in many a container, runc could not give pods the score they ask for.
    format!(
        r#"version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#
    )
}

fn kubelet(node: Node) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "failSwapOn": false,
        "resolvConf": node.disk().join("resolv.conf"),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        // The machine's disk and memory are shared with whatever else is done on it.
        "evictionHard": { "nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi" },
        "imageGCHighThresholdPercent": 100,
    })
}
