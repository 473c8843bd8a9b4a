//! The configuration folder over restarts, and when it is swapped or taken away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;

use ambit_tests::{ask, manifest, until};

use crate::shop::{PATIENCE, PORT, Shop, seen, wait_answered, wait_turned_down};

#[test]
fn a_mistake_made_before_a_restart_does_not_open_a_closed_mesh() -> Result<()> {
    for broken in ["namespace-shop.yaml", "strict.yaml", "pod-shop-web.yaml"] {
        let mut shop = Shop::closed()?;
        shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
        shop.mesh.start()?;
        shop.mesh.config.write(broken, "apiVersion: [\n  broken")?;
        shop.mesh.agent(2)?.wait_log(broken)?;
        shop.mesh.agent(2)?.process().kill()?;
        shop.mesh.restart_agent(2)?;
        assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "{broken}: what was in force is");
        let plain = ask(&shop.plain.netns(), shop.web.at(PORT), "who")?;
        assert!(plain.is_turned_down(), "{broken}: {plain:?}");
    }
    Ok(())
}

#[test]
fn a_policy_that_was_never_valid_keeps_the_node_from_starting_and_says_so() -> Result<()> {
    let mut shop = Shop::closed()?;
    let bad = manifest::policy("shop", "bad", "web", "ALLOW", &["x"]).replace("principals:", "principalz:");
    shop.mesh.config.write("bad.yaml", &bad)?;
    let agent = shop.mesh.start_agent(2, &[])?;
    let why = until("readiness that says why", PATIENCE, || {
        let (status, body) = agent.readiness().ok()?;
        (status == 503 && body.contains("never valid")).then_some(body)
    })?;
    assert!(why.contains("configuration"), "{why}");
    assert!(agent.log().contains("principalz"), "the log names the field");
    shop.mesh.config.remove("bad.yaml")?;
    shop.mesh.agent(2)?.wait_ready()
}

#[test]
fn a_folder_that_is_renamed_and_made_again_is_watched_again() -> Result<()> {
    let mut shop = Shop::open()?;
    let folder = shop.mesh.config.path().to_owned();
    let old = folder.with_extension("old");
    fs::rename(&folder, &old)?;
    shop.mesh.agent(2)?.wait_log("is gone")?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "what it said stays in force");
    fs::create_dir(&folder)?;
    for file in fs::read_dir(&old)? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    fs::write(folder.join("strict.yaml"), manifest::mesh_mode("STRICT"))?;
    wait_turned_down(&shop.plain.netns(), shop.web.at(PORT))
}

#[test]
fn a_folder_that_kubernetes_mounts_is_followed_through_its_links() -> Result<()> {
    let mut shop = Shop::closed()?;
    let folder = shop.mesh.config.path().to_owned();
    mount_as_config_map(&folder, "1", "PERMISSIVE")?;
    shop.mesh.start()?;
    wait_answered(&shop.plain.netns(), shop.web.at(PORT))?;
    mount_as_config_map(&folder, "2", "STRICT")?;
    wait_turned_down(&shop.plain.netns(), shop.web.at(PORT))
}

/// Lays the folder's files as kubelet does: in a hidden folder, to which a hidden link leads, to which a
/// link for each file leads; another version swaps the hidden link.
fn mount_as_config_map(folder: &Path, version: &str, mode: &str) -> Result<()> {
    let data = folder.join(format!("..{version}"));
    fs::create_dir(&data)?;
    let current = folder.join("..data");
    let from = if current.exists() { current.clone() } else { folder.to_owned() };
    for file in fs::read_dir(&from)? {
        let file = file?;
        if fs::metadata(file.path())?.is_file() {
            fs::copy(file.path(), data.join(file.file_name()))?;
        }
    }
    fs::write(data.join("mode.yaml"), manifest::mesh_mode(mode))?;
    symlink(format!("..{version}"), folder.join("..data_new"))?;
    fs::rename(folder.join("..data_new"), &current)?;
    for file in fs::read_dir(&data)? {
        let name = file?.file_name();
        let link = folder.join(&name);
        if !link.is_symlink() {
            if link.exists() {
                fs::remove_file(&link)?;
            }
            symlink(Path::new("..data").join(&name), link)?;
        }
    }
    Ok(())
}
