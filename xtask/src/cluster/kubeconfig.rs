//! Who may speak to the API server: a token and a kubeconfig for each.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::layout::{self, Member};

/// The file of whoever may do everything.
pub(super) const ADMIN: &str = "admin";
/// Each as the file is called, the user, and the group if that decides.
const USERS: [(&str, &str, &str); 6] = [
    (ADMIN, "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("node1", "system:node:node1", "system:nodes"),
    ("node2", "system:node:node2", "system:nodes"),
];

/// The API server's certificate, which it signs itself.
pub(super) const CERTIFICATE: &str = "api/apiserver.crt";
/// All tokens, as the API server reads them.
pub(super) const TOKENS: &str = "tokens.csv";

/// The kubeconfig of a user.
pub(super) fn path(user: &str) -> PathBuf {
    layout::file(&format!("{user}.kubeconfig"))
}

/// Writes tokens and kubeconfigs, unless they are there.
pub(super) fn write_all() -> Result<()> {
    if layout::file(TOKENS).exists() {
        return Ok(());
    }
    let mut tokens = String::new();
    for (file, user, group) in USERS {
        let random = fs::read_to_string("/proc/sys/kernel/random/uuid").context("no random token")?;
        let token = random.trim();
        tokens += &format!("{token},{user},{user},\"{group}\"\n");
        fs::write(path(file), kubeconfig(token).to_string())?;
    }
    fs::write(layout::file(TOKENS), tokens).context("writing the tokens")
}

/// JSON, which is YAML too.
fn kubeconfig(token: &str) -> serde_json::Value {
    let server = format!("https://{}:6443", Member::ControlPlane.ip4());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "ambit",
            "cluster": { "server": server, "certificate-authority": layout::file(CERTIFICATE) },
        }],
        "users": [{ "name": "user", "user": { "token": token } }],
        "contexts": [{ "name": "ambit", "context": { "cluster": "ambit", "user": "user" } }],
        "current-context": "ambit",
    })
}
