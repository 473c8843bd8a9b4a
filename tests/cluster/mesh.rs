//! The mesh under test: the chart as a user installs it.

use std::env;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use ambit_tests::cluster::{Agent, Node, PATIENCE, SYSTEM, helm, kubectl};
use ambit_tests::until;

/// The release.
pub(crate) const RELEASE: &str = "ambit";

/// Installs the mesh, unless this process has done that.
pub(crate) fn installed() -> Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    INSTALLED.get_or_init(|| install(&[]).map_err(|error| format!("{error:#}"))).clone().map_err(|error| anyhow!(error))
}

/// The same, and the kinds of the Gateway API, as users of waypoints have them.
pub(crate) fn with_gateway_api() -> Result<()> {
    static DEFINED: OnceLock<Result<(), String>> = OnceLock::new();
    installed()?;
    DEFINED.get_or_init(|| define().map_err(|error| format!("{error:#}"))).clone().map_err(|error| anyhow!(error))
}

fn define() -> Result<()> {
    let definitions = env::var_os("AMBIT_GATEWAY_API").context("`cargo xtask cluster shell` sets AMBIT_GATEWAY_API")?;
    kubectl(&["apply", "--server-side", "--filename", &definitions.to_string_lossy()])?;
    kubectl(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"]).map(drop)
}

/// Installs it, or changes what is installed, and waits until all of it is ready.
pub(crate) fn install(values: &[&str]) -> Result<()> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/charts/ambit");
    let chart = chart.to_string_lossy();
    let mut arguments = vec!["upgrade", RELEASE, &chart, "--install", "--namespace", SYSTEM, "--create-namespace"];
    // Nobody's long download is cut here: agents may end sooner than users' do.
    arguments.extend(["--wait", "--timeout=3m", "--reset-values", "--set", "ztunnel.drainSeconds=5"]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    helm(&arguments)?;
    wait_ready()
}

/// Waits until an agent is ready on each node, and the control plane is.
pub(crate) fn wait_ready() -> Result<()> {
    for what in ["deployment/ambitd", "daemonset/ztunnel"] {
        kubectl(&["--namespace", SYSTEM, "rollout", "status", what, "--timeout=120s"])?;
    }
    for node in Node::ALL {
        until("an agent", PATIENCE, || Agent::on(node).ok())?.wait_ready()?;
    }
    Ok(())
}

/// Takes all agents away, or lets them come back.
pub(crate) fn agents(wanted: bool) -> Result<()> {
    let value = if wanted { "linux" } else { "none" };
    let patch = format!(r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{{"kubernetes.io/os":"{value}"}}}}}}}}}}"#);
    kubectl(&["--namespace", SYSTEM, "patch", "daemonset", "ztunnel", "--patch", &patch])?;
    if wanted {
        return wait_ready();
    }
    let selector = "--selector=app.kubernetes.io/name=ztunnel";
    kubectl(&["--namespace", SYSTEM, "wait", "pod", selector, "--for=delete", "--timeout=120s"]).map(drop)
}

/// Has so many replicas of the control plane; without any, waits until the last has ended.
pub(crate) fn control_planes(count: u8) -> Result<()> {
    kubectl(&["--namespace", SYSTEM, "scale", "deployment/ambitd", &format!("--replicas={count}")])?;
    if count > 0 {
        return wait_ready();
    }
    let selector = "--selector=app.kubernetes.io/name=ambitd";
    kubectl(&["--namespace", SYSTEM, "wait", "pod", selector, "--for=delete", "--timeout=60s"]).map(drop)
}

/// How long what is broken stays broken: in a test of an outage. Seconds in AMBIT_OUTAGE_SECONDS.
pub(crate) fn outage() -> Duration {
    let seconds = env::var_os("AMBIT_OUTAGE_SECONDS").and_then(|text| text.to_str()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}
