use std::os::unix::fs::PermissionsExt;

use ambit_runtime::Readiness;

use super::*;

const LIST: &str = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}"#;

struct Node {
    _folder: tempfile::TempDir,
    settings: Settings,
    readiness: Readiness,
    drain: Drain,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let settings = Settings {
            networks: at("net.d"),
            plugins: at("bin"),
            plugin: at("ambit-cni"),
            socket: at("run/cni.sock"),
            meshed_namespaces: at("state/cni/meshed-namespaces.json"),
        };
        fs::create_dir(&settings.plugins).unwrap();
        fs::write(&settings.plugin, b"version 1").unwrap();
        Self { settings, readiness: Readiness::default(), drain: Drain::default(), _folder: folder }
    }

    fn network(&self, name: &str) -> PathBuf {
        self.settings.networks.join(name)
    }

    fn has_plugin(&self, name: &str) -> bool {
        let expected = conflist::entry(&self.settings.socket, &self.settings.meshed_namespaces);
        fs::read_to_string(self.network(name)).is_ok_and(|text| text.contains(&expected))
    }

    fn installed_is(&self, contents: &[u8]) -> bool {
        fs::read(self.settings.plugins.join(PLUGIN)).is_ok_and(|there| there == contents)
    }

    fn keep(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(keep(self.settings.clone(), self.readiness.condition("CNI plugin"), self.drain.clone()))
    }

    fn not_ready(&self) -> String {
        self.readiness.check().err().unwrap_or_default().join("\n")
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_is_installed_once_there_is_a_network_and_put_right_whatever_others_do() {
    let node = Node::new();
    let keeper = node.keep();
    until(|| node.not_ready().contains("there is no network in")).await;
    assert!(node.installed_is(b"version 1"), "the plugin can be there before any network names it");

    fs::create_dir(&node.settings.networks).unwrap();
    fs::write(node.network("10-n.conflist"), LIST).unwrap();
    until(|| node.has_plugin("10-n.conflist") && node.readiness.check().is_ok()).await;
    let installed = node.settings.plugins.join(PLUGIN);
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);

    fs::write(node.network("10-n.conflist"), LIST).unwrap();
    until(|| node.has_plugin("10-n.conflist")).await;
    fs::write(node.network("00-first.conflist"), LIST).unwrap();
    until(|| node.has_plugin("00-first.conflist")).await;
    fs::write(&installed, b"something else").unwrap();
    until(|| node.installed_is(b"version 1")).await;
    fs::remove_file(&installed).unwrap();
    until(|| node.installed_is(b"version 1")).await;

    // The folder itself is replaced.
    fs::rename(&node.settings.networks, node.settings.plugins.join("old")).unwrap();
    fs::create_dir(&node.settings.networks).unwrap();
    fs::write(node.network("20-n.conflist"), LIST).unwrap();
    until(|| node.has_plugin("20-n.conflist")).await;

    // An agent that stops leaves everything in place.
    node.drain.finish(Duration::ZERO, std::future::pending()).await;
    keeper.await.unwrap();
    assert!(node.has_plugin("20-n.conflist") && node.installed_is(b"version 1"));
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_named_by_no_network() {
    let node = Node::new();
    fs::create_dir(&node.settings.networks).unwrap();
    fs::write(node.network("10-n.conflist"), LIST).unwrap();
    fs::remove_file(&node.settings.plugin).unwrap();
    let keeper = node.keep();
    until(|| node.not_ready().contains("cannot put")).await;
    assert!(!node.has_plugin("10-n.conflist"));
    node.drain.finish(Duration::ZERO, std::future::pending()).await;
    keeper.await.unwrap();
}

#[test]
fn what_was_installed_is_taken_away() {
    let node = Node::new();
    fs::create_dir(&node.settings.networks).unwrap();
    fs::write(node.network("10-n.conflist"), LIST).unwrap();
    install(&node.settings).unwrap();
    ambit_cni::meshed::write(&node.settings.meshed_namespaces, ["shop".to_owned()].into()).unwrap();
    fs::create_dir_all(node.settings.socket.parent().unwrap()).unwrap();
    fs::write(&node.settings.socket, "").unwrap();
    for _ in 0..2 {
        uninstall(&node.settings).unwrap();
        assert_eq!(fs::read_to_string(node.network("10-n.conflist")).unwrap(), LIST);
        assert_eq!(fs::read_dir(&node.settings.plugins).unwrap().count(), 0);
        assert!(!node.settings.socket.parent().unwrap().exists());
        assert!(!node.settings.meshed_namespaces.parent().unwrap().exists());
    }
}
