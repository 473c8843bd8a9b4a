//! CRI-O's layout: network namespaces are named by UUIDs alone, and its network is one of several files, of
//! which the first by name counts.

use std::fs;
use std::os::unix::fs::symlink;

use ambit_cni::{Answer, Command, Request};
use ambit_xds::proto::node::pod_report::State;
use anyhow::Result;
use serde_json::Value;

use ambit_tests::{Pod, until};

use super::cni_folders::CniFolders;
use super::fleet::{Fleet, running, workload};
use crate::shop::PATIENCE;

/// As its package installs them.
const NETWORKS: [(&str, &str); 2] = [
    (
        "10-crio-bridge.conflist",
        r#"{"cniVersion": "1.0.0", "name": "crio", "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "10.85.0.0/16"}]]}
        }]}"#,
    ),
    ("99-loopback.conflist", r#"{"cniVersion": "1.0.0", "name": "loopback", "plugins": [{"type": "loopback"}]}"#),
];
const RUNNING: &str = "3f2a9c1e-5b7d-4e8f-a0b1-c2d3e4f50617";
const STARTING: &str = "8d1e6b40-93c2-4f7a-b5e8-0f1a2b3c4d5e";

/// A pod in a namespace of that name in the folder where the runtime keeps them.
fn pod(fleet: &mut Fleet, name: &str, netns: &str) -> Result<Pod> {
    let pod = fleet.pod(name, 1)?;
    fleet.hide(&pod)?;
    symlink(pod.netns().path(), fleet.netns_folder(&pod).join(netns))?;
    Ok(pod)
}

#[test]
fn running_pods_are_found_and_new_ones_start_captured() -> Result<()> {
    let mut fleet = Fleet::new()?;
    let folders = CniFolders::make(fleet.world.directory())?;
    for (name, network) in NETWORKS {
        fs::write(folders.networks.join(name), network)?;
    }
    let there = pod(&mut fleet, "there", RUNNING)?;
    fleet.control_plane.put(&running(&there), "there", true);
    folders.start_agent(&mut fleet, 1)?.wait_ready()?;
    fleet.control_plane.wait_report("there", State::Enrolled)?;

    let chain = |name: &str| -> Result<Vec<String>> {
        let list: Value = serde_json::from_str(&fs::read_to_string(folders.networks.join(name))?)?;
        let plugins = list["plugins"].as_array().cloned().unwrap_or_default();
        Ok(plugins.iter().filter_map(|plugin| plugin["type"].as_str().map(str::to_owned)).collect())
    };
    until("the plugin in the network in use", PATIENCE, || {
        (chain(NETWORKS[0].0).ok()? == ["bridge", "ambit-cni"]).then_some(())
    })?;
    assert_eq!(chain(NETWORKS[1].0)?, ["loopback"], "what is not in use is left as it is");
    assert!(folders.plugins.join("ambit-cni").exists());

    let late = pod(&mut fleet, "late", STARTING)?;
    fleet.control_plane.put(&workload(&late, &[]), "late", true);
    let sandbox = "c".repeat(64);
    let mut request = Request::new(Command::Add, "shop", "late", &sandbox, "eth0");
    request.pod_uid = Some("late".to_owned());
    request.netns = Some(fleet.netns_folder(&late).join(STARTING));
    request.addresses = vec![late.ip4().into(), late.ip6().into()];
    assert_eq!(ambit_cni::ask(&folders.socket, &request, PATIENCE)?, Answer::Enrolled);
    fleet.control_plane.wait_report("late", State::Enrolled)?;
    Ok(())
}
