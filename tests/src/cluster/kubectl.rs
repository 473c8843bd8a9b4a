//! kubectl and helm.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run;

/// Runs kubectl and gives what it printed.
///
/// # Errors
/// Fails, with kubectl's message, when kubectl does.
pub fn kubectl(arguments: &[&str]) -> Result<String> {
    run(Command::new("kubectl").args(arguments))
}

/// Runs helm and gives what it printed.
///
/// # Errors
/// Fails, with helm's message, when helm does.
pub fn helm(arguments: &[&str]) -> Result<String> {
    run(Command::new("helm").args(arguments))
}

/// An object, or a list of them, as `kubectl get` names it.
///
/// # Errors
/// Fails when there is none of that name.
pub fn object(arguments: &[&str]) -> Result<Value> {
    let text = kubectl(&[&["get", "--output=json"], arguments].concat())?;
    Ok(serde_json::from_str(&text)?)
}

/// Creates or changes the objects of a manifest.
///
/// # Errors
/// Fails, with the API server's words, when one is refused.
pub fn apply(namespace: &str, manifest: &str) -> Result<()> {
    let mut child = Command::new("kubectl")
        .args(["apply", "--namespace", namespace, "--filename=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start kubectl")?;
    child.stdin.take().context("kubectl has no standard input")?.write_all(manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl apply: {}\n{manifest}", said.trim());
    Ok(())
}
