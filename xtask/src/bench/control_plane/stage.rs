//! etcd, an API server and `ambitd`, on loopback ports that were free and in a folder of their own: a
//! cluster of `cargo xtask cluster` beside them is not disturbed. They end with this process, however it ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, process};

use ambit_tests::{Process, until};
use anyhow::{Context as _, Result};
use serde_json::json;

use crate::command::{self, program};

/// How long a program may take until it serves.
const START_TIME: Duration = Duration::from_secs(60);
/// What the folder's name begins with; the rest is the process id.
const FOLDER: &str = "ambit-bench-";
/// The kubeconfig's name in the folder.
const KUBECONFIG: &str = "kubeconfig";
/// The tokens' name in the folder.
const TOKENS: &str = "tokens.csv";
/// The name of the key that signs the tokens of service accounts.
const SIGNING_KEY: &str = "service-accounts.key";

/// The programs, ended when dropped, in this order, and the folder then.
pub(super) struct Stage {
    address: String,
    ambitd: Process,
    _api_server: Process,
    _etcd: Process,
    folder: Folder,
}

/// Taken away when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is below the folder for temporary files.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Stage {
    /// Starts everything, on an empty cluster.
    pub(super) fn set(kubernetes: &Path, ambitd: &Path) -> Result<Self> {
        clear_abandoned();
        let folder = Folder(env::temp_dir().join(format!("{FOLDER}{}", process::id())));
        let path = folder.0.as_path();
        fs::create_dir_all(path)?;
        let [clients, peers, api, served @ ..] = free_ports::<8>()?;
        write_credentials(path, api)?;
        let etcd = Process::start(etcd(kubernetes, path, clients, peers), path, "etcd")?;
        let api_server = Process::start(api_server(kubernetes, path, clients, api), path, "kube-apiserver")?;
        set_up(kubernetes, path)?;
        let ambitd = Process::start(control_plane(ambitd, path, served), path, "ambitd")?;
        let [nodes, ..] = served;
        let address = format!("127.0.0.1:{nodes}");
        Ok(Self { address, ambitd, _api_server: api_server, _etcd: etcd, folder })
    }

    /// The process id of ambitd.
    pub(super) fn ambitd(&self) -> u32 {
        self.ambitd.id()
    }

    /// Where ambitd serves nodes.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Of whoever may do everything.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.0.join(KUBECONFIG)
    }
}

/// Takes away the folders of runs that were killed.
fn clear_abandoned() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.parse().ok());
        if process.is_some_and(|process| command::started(process).is_none()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Ports that nobody listens on; another program may take one before it is used, but hardly does.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn write_credentials(folder: &Path, port: u16) -> Result<()> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid").context("no random token")?;
    let token = random.trim();
    fs::write(folder.join(TOKENS), format!("{token},admin,admin,\"system:masters\"\n"))?;
    let certificate = folder.join("api/apiserver.crt");
    let server = json!({ "server": format!("https://127.0.0.1:{port}"), "certificate-authority": certificate });
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bench", "cluster": server }],
        "users": [{ "name": "admin", "user": { "token": token } }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "admin" } }],
        "current-context": "bench",
    });
    fs::write(folder.join(KUBECONFIG), kubeconfig.to_string())?;
    let key = folder.join(SIGNING_KEY);
    command::run(program("openssl").args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]).arg(key))
}

/// A program that the kernel kills when this process has ended: who is killed drops nothing.
pub(super) fn mortal(binary: &Path) -> Command {
    let mut command = program("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(binary);
    command
}

fn etcd(programs: &Path, folder: &Path, clients: u16, peers: u16) -> Command {
    let [clients, peers] = [clients, peers].map(|port| format!("http://127.0.0.1:{port}"));
    let mut command = mortal(&programs.join("etcd"));
    command
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("default={peers}"), "--unsafe-no-fsync", "--data-dir"])
        .arg(folder.join("etcd"));
    command
}

fn api_server(programs: &Path, folder: &Path, etcd: u16, port: u16) -> Command {
    let file = |flag: &str, name: &str| format!("{flag}={}", folder.join(name).display());
    let mut command = mortal(&programs.join("kube-apiserver"));
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
        .arg(format!("--secure-port={port}"))
        .arg(file("--cert-dir", "api"))
        .arg(file("--token-auth-file", TOKENS))
        .arg("--authorization-mode=RBAC")
        // No controller makes each namespace's account, which pods would otherwise wait for.
        .arg("--disable-admission-plugins=ServiceAccount")
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(file("--service-account-signing-key-file", SIGNING_KEY))
        .arg(file("--service-account-key-file", SIGNING_KEY))
        .args(["--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true"]);
    command
}

/// What the chart would have made, as far as it is needed.
fn set_up(kubernetes: &Path, folder: &Path) -> Result<()> {
    let kubectl = |arguments: &[&str]| {
        let mut kubectl = program(kubernetes.join("kubectl"));
        command::output(kubectl.env("KUBECONFIG", folder.join(KUBECONFIG)).args(arguments))
    };
    let log = || fs::read_to_string(folder.join("kube-apiserver.err")).unwrap_or_default();
    until("a ready API server", START_TIME, || kubectl(&["get", "--raw=/readyz"]).ok()).with_context(log)?;
    kubectl(&["create", "namespace", "ambit-system"])?;
    kubectl(&["apply", "--filename=deploy/charts/ambit/files/crds"])?;
    kubectl(&["wait", "--for=condition=Established", "crd", "--all"]).map(drop)
}

fn control_plane(binary: &Path, folder: &Path, ports: [u16; 5]) -> Command {
    let mut command = mortal(binary);
    command.arg("--kubeconfig").arg(folder.join(KUBECONFIG));
    let flags = ["--address", "--webhook-address", "--admin", "--metrics", "--readiness"];
    for (flag, port) in flags.into_iter().zip(ports) {
        command.arg(format!("{flag}=127.0.0.1:{port}"));
    }
    command
}
