//! A workload in an OCI container, made by runc as a container engine makes it: namespaces of its own
//! for processes, mounts and all else, a cgroup of its own, and the network namespace of its pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use ambit_tests::{Pod, run};

use crate::pair::{Pair, text};

#[test]
fn redis_and_its_client_in_containers() -> Result<()> {
    let mut pair = Pair::new(6379)?;
    let folder = pair.folder("root")?;
    let server = Container::new(&folder, "server", pair.server_pod())?;
    pair.serve(&server.run(&["redis-server", "--protected-mode", "no", "--save", ""])?, &["redis-cli", "ping"])?;

    let (host, port) = (pair.service.ip().to_string(), pair.service.port().to_string());
    let client = Container::new(&folder, "client", &pair.client)?;
    let info = client.run(&["redis-cli", "-h", &host, "-p", &port, "client", "info"])?;
    let info = run(Command::new("runc").args(info.get(1..).unwrap_or_default()))?;
    assert!(info.contains(&format!(" addr={}:", pair.client.ip4())), "{info}");
    pair.check_tunnelled()
}

/// A bundle: what runc makes a container from.
struct Container {
    bundle: PathBuf,
    id: String,
    netns: PathBuf,
}

impl Container {
    fn new(folder: &Path, name: &str, pod: &Pod) -> Result<Self> {
        let (bundle, netns) = (folder.join(name), pod.netns().path().to_owned());
        fs::create_dir_all(bundle.join("rootfs"))?;
        Ok(Self { id: format!("{}-{name}", std::process::id()), bundle, netns })
    }

    /// The command that runs `arguments` in it and ends with them.
    fn run(&self, arguments: &[&str]) -> Result<Vec<String>> {
        fs::write(self.bundle.join("config.json"), self.config(arguments)?.to_string())?;
        let words = ["runc", "run", "--bundle", text(&self.bundle)?, &self.id];
        Ok(words.map(str::to_owned).to_vec())
    }

    /// The machine's own programs, read-only, and no other thing of the machine.
    fn config(&self, arguments: &[&str]) -> Result<Value> {
        let folders =
            ["/bin", "/lib", "/lib64", "/usr", "/etc"].into_iter().filter(|folder| Path::new(folder).exists());
        let mut mounts: Vec<Value> = folders
            .map(|folder| json!({"destination": folder, "source": folder, "options": ["rbind", "ro"]}))
            .collect();
        mounts.extend([
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}),
            json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}),
        ]);
        let own = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
        let network = json!({"type": "network", "path": text(&self.netns)?});
        Ok(json!({
            "ociVersion": "1.0.2",
            "process": {
                "args": arguments, "cwd": "/tmp", "user": {"uid": 65534, "gid": 65534}, "noNewPrivileges": true,
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "root": {"path": "rootfs"},
            "mounts": mounts,
            "linux": {
                "namespaces": own.into_iter().chain([network]).collect::<Vec<_>>(),
                "cgroupsPath": format!("/{}", self.id),
            },
        }))
    }
}

/// Ends what is left of it: `runc run` deletes it only when its process has ended by itself.
impl Drop for Container {
    fn drop(&mut self) {
        let _ended = Command::new("runc").args(["delete", "--force", &self.id]).output();
    }
}
