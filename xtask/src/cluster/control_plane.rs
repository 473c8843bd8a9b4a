//! etcd, API server, controllers and scheduler, in a network namespace of their own: their ports are
//! nobody else's.

use std::{fs, process::Command, time::Duration};

use ambit_tests::until;
use anyhow::{Context, Result};

use super::{
    kubeconfig,
    layout::{self, Member, PODS, SERVICES},
    processes, programs, shell,
};
use crate::command::{self, program};

/// How long the API server may take until it serves.
const START_TIME: Duration = Duration::from_secs(60);
/// Signs the tokens of service accounts.
const SIGNING_KEY: &str = "service-accounts.key";

/// Starts what does not run, and waits until the API server is ready.
pub(super) fn start() -> Result<()> {
    kubeconfig::write_all()?;
    signing_key()?;
    processes::ensure("etcd", || Ok(etcd()))?;
    processes::ensure("kube-apiserver", || Ok(api_server()))?;
    until("a ready API server (see its log)", START_TIME, || {
        command::output(shell::kubectl().args(["get", "--raw=/readyz"])).ok()
    })?;
    processes::ensure("kube-controller-manager", || Ok(controllers()))?;
    processes::ensure("kube-scheduler", || Ok(scheduler()))?;
    Ok(())
}

fn signing_key() -> Result<()> {
    let key = layout::file(SIGNING_KEY);
    if key.exists() {
        return Ok(());
    }
    let unfinished = layout::file("unfinished.key");
    command::run(
        program("openssl").args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]).arg(&unfinished),
    )?;
    fs::rename(unfinished, key).context("writing the signing key")
}

fn etcd() -> Command {
    let [clients, peers] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"];
    let mut command = here("etcd");
    command
        .args(["--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers])
        .arg("--data-dir")
        .arg(layout::file("etcd"))
        // The cluster need not outlive a power cut.
        .arg("--unsafe-no-fsync");
    command
}

fn api_server() -> Command {
    let address = Member::ControlPlane.ip4();
    let mut command = here("kube-apiserver");
    command
        .arg("--etcd-servers=http://127.0.0.1:2379")
        .arg(format!("--advertise-address={address}"))
        .arg(setting("--cert-dir", "api"))
        .arg(setting("--token-auth-file", kubeconfig::TOKENS))
        .arg("--authorization-mode=Node,RBAC")
        .arg("--enable-admission-plugins=NodeRestriction")
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(setting("--service-account-signing-key-file", SIGNING_KEY))
        .arg(setting("--service-account-key-file", SIGNING_KEY))
        .arg(format!("--service-cluster-ip-range={SERVICES}"))
        .arg("--allow-privileged=true")
        // Nodes by address, not by name: their names resolve nowhere here.
        .arg("--kubelet-preferred-address-types=InternalIP")
        // Webhooks by the addresses of their pods: no kube-proxy serves the control plane.
        .arg("--enable-aggregator-routing=true");
    command
}

fn controllers() -> Command {
    let mut command = here("kube-controller-manager");
    command
        .arg(user("controller-manager"))
        .arg(setting("--service-account-private-key-file", SIGNING_KEY))
        .arg(setting("--root-ca-file", kubeconfig::CERTIFICATE))
        .args(["--use-service-account-credentials=true", "--leader-elect=false", "--allocate-node-cidrs=false"])
        .arg(format!("--cluster-cidr={PODS}"));
    command
}

fn scheduler() -> Command {
    let mut command = here("kube-scheduler");
    command.arg(user("scheduler")).arg("--leader-elect=false");
    command
}

fn here(name: &str) -> Command {
    Member::ControlPlane.netns().command(programs::path(name))
}

fn user(name: &str) -> String {
    format!("--kubeconfig={}", kubeconfig::path(name).display())
}

fn setting(flag: &str, file: &str) -> String {
    format!("{flag}={}", layout::file(file).display())
}
