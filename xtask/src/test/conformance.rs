//! The Gateway API's own conformance suite, of `tests/conformance`, on the test cluster with the working tree's
//! mesh. What came out goes to `conformance/` in the target folder, and in short to docs/compatibility.md.

mod report;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{Tally, cluster::on_cluster};
use crate::{
    cluster,
    command::{self, program},
    go,
    image::{Entry, Image},
    images, workspace,
};

/// The module with the suite, from the root of the tree.
const MODULE: &str = "tests/conformance";

pub(super) fn run() -> Result<Tally> {
    on_cluster(tests)
}

fn tests() -> Result<Tally> {
    let folder = workspace::target_dir()?.join("conformance");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    cluster::run(&cluster::Verb::Load { archives: Vec::new(), images: images::Args::quick() })?;
    cluster::run(&cluster::Verb::Load { archives: vec![application(&folder)?], images: images::Args::quick() })?;
    define()?;
    install()?;
    place_waypoints()?;
    let report = folder.join("report.yaml");
    let tally = suite(&report)?;
    // A run that failed says nothing of what the mesh can do.
    if tally.failed == 0 {
        report::publish(&report, tally.passed)?;
    }
    Ok(tally)
}

/// The application that asks and answers, as an image.
fn application(folder: &Path) -> Result<PathBuf> {
    let echo = folder.join("echo");
    command::run(in_module(go::command("build", "")?).arg("-o").arg(&echo).arg("./echo"))?;
    let archive = folder.join("echo.tar");
    let image = Image {
        name: "ambit.test/echo:1".to_owned(),
        entries: vec![Entry::file("bin/echo", &echo, 0o755), Entry::link("bin/client", "echo")],
        entrypoint: vec!["/bin/echo".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        user: String::new(),
        labels: BTreeMap::new(),
    };
    image.write(&archive)?;
    Ok(archive)
}

/// The definitions of the standard channel, as the suite's release has them.
fn define() -> Result<()> {
    let definitions = cluster::gateway_api()?;
    command::output(kubectl()?.args(["apply", "--server-side", "--filename"]).arg(definitions))?;
    command::output(kubectl()?.args(["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"]))?;
    Ok(())
}

/// The chart, as users install it.
fn install() -> Result<()> {
    let mut helm = on_path("helm")?;
    helm.args(["upgrade", "ambit", "deploy/charts/ambit", "--install", "--namespace=ambit-system"]);
    command::output(helm.args(["--create-namespace", "--wait", "--timeout=3m"])).map(drop)
}

/// A waypoint for each of the suite's namespaces, waited for.
fn place_waypoints() -> Result<()> {
    command::output(kubectl()?.args(["apply", "--filename"]).arg(format!("{MODULE}/waypoints.yaml")))?;
    let ready = ["gateway", "--all", "--all-namespaces", "--for=condition=Programmed", "--timeout=120s"];
    command::output(kubectl()?.arg("wait").args(ready)).map(drop)
}

fn suite(report: &Path) -> Result<Tally> {
    let mut go = in_module(go::command("test", "")?);
    go.args(["-v", "-count=1", "-timeout=30m", ".", "-args", "-report-output"]).arg(report);
    go.envs(cluster::environment()?).env("AMBIT_VERSION", env!("CARGO_PKG_VERSION"));
    let mut tally = Tally::default();
    let succeeded = command::follow(&mut go, |line| tally += of_line(line))?;
    // A suite that does not compile or get ready prints no result of a test.
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + Tally::FAILED })
}

/// What a line of the suite's output adds: each of its tests counts, not their parts. Tests that are not of a mesh
/// are skipped.
fn of_line(line: &str) -> Tally {
    let counted = |result: &str| {
        let name = line.strip_prefix(result).and_then(|rest| rest.split(' ').next());
        u32::from(name.is_some_and(|name| !name.contains('/')))
    };
    Tally { passed: counted("    --- PASS: TestGatewayAPI/"), failed: counted("    --- FAIL: TestGatewayAPI/") }
}

fn in_module(mut go: Command) -> Command {
    go.current_dir(workspace::root().join(MODULE));
    go
}

fn kubectl() -> Result<Command> {
    on_path("kubectl")
}

/// A program of the cluster's.
fn on_path(name: &str) -> Result<Command> {
    // Found by the new path, not by ours.
    let mut command = program("env");
    command.envs(cluster::environment()?).arg("--").arg(name);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_count_and_their_parts_do_not() {
        let output = "\
--- FAIL: TestGatewayAPI (9.00s)
    --- PASS: TestGatewayAPI/MeshBasic (0.31s)
        --- PASS: TestGatewayAPI/MeshBasic/0_request_to_'echo'_should_receive_a_200 (0.30s)
    --- SKIP: TestGatewayAPI/GatewayInfrastructure (0.00s)
    --- FAIL: TestGatewayAPI/MeshPorts (30.00s)
        --- FAIL: TestGatewayAPI/MeshPorts/No_port_set (30.00s)
";
        let sum: Tally = output.lines().map(of_line).sum();
        assert_eq!(sum, Tally { passed: 1, failed: 1 });
    }
}
