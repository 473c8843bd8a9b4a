//! A namespace shop: a waypoint, two versions of a service behind it, another service, and clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ambit_tests::{ConfigDir, Netns, Process, run, until};
use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::backend::Backend;

const PATIENCE: Duration = Duration::from_secs(15);

/// The waypoint's own address.
pub(crate) const WAYPOINT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The virtual address of `web`.
pub(crate) const WEB: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The virtual address of `api`.
pub(crate) const API: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);
/// The pods behind them, with their addresses.
const PODS: [(&str, Ipv4Addr); 3] = [
    ("web-v1", Ipv4Addr::new(10, 1, 0, 11)),
    ("web-v2", Ipv4Addr::new(10, 1, 0, 12)),
    ("api", Ipv4Addr::new(10, 1, 0, 21)),
];
/// Objects that are there in every scene.
const BASE: &str = include_str!("base.yaml");

/// A waypoint and its backends. Everything ends with it.
pub(crate) struct Scene {
    netns: Netns,
    waypoint: Process,
    config: ConfigDir,
    pub(crate) folder: TempDir,
    backends: Vec<Backend>,
}

impl Scene {
    /// A scene with these objects beside those of every scene, its waypoint ready.
    pub(crate) fn with(objects: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = ConfigDir::new(folder.path())?;
        config.write("base.yaml", BASE)?;
        config.write("case.yaml", objects)?;
        let netns = namespace()?;
        let backends = PODS.iter().map(|(name, ip)| Backend::start(&netns, name, *ip)).collect::<Result<_>>()?;
        let mut command = netns.command(waypoint_binary()?);
        command.arg("--config").arg(config.path()).arg("--state").arg(folder.path().join("state"));
        command.args(["--name", "shop/waypoint", "--address", &WAYPOINT.to_string()]);
        let waypoint = Process::start(command, folder.path(), "waypoint")?;
        let mut scene = Self { netns, waypoint, config, folder, backends };
        scene.wait_ready()?;
        Ok(scene)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let ready = || {
            if let Some(status) = self.waypoint.ended() {
                return Some(Err(anyhow::anyhow!("the waypoint ended with {status}")));
            }
            let (status, _) = self.http(15021, "/healthz/ready").ok()?;
            (status == 200).then_some(Ok(()))
        };
        until("the waypoint's readiness", PATIENCE, ready)
            .and_then(|end| end)
            .with_context(|| format!("the waypoint's log:\n{}", self.waypoint.errors()))
    }

    /// Replaces the objects of the case.
    pub(crate) fn write(&self, objects: &str) -> Result<()> {
        self.config.write("case.yaml", objects)
    }

    /// Its namespace.
    pub(crate) fn netns(&self) -> &Netns {
        &self.netns
    }

    /// A backend.
    pub(crate) fn backend(&self, name: &str) -> &Backend {
        let found = self.backends.iter().find(|backend| backend.name() == name);
        found.unwrap_or_else(|| panic!("no backend {name}"))
    }

    /// The access log so far.
    pub(crate) fn access_log(&self) -> String {
        self.waypoint.output()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.waypoint.errors()
    }

    /// The program.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.waypoint
    }

    /// Asks one of the waypoint's own endpoints; status and body.
    pub(crate) fn http(&self, port: u16, path: &str) -> Result<(u16, String)> {
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let url = format!("http://{at}{path}");
        let mut curl = self.netns.command("curl");
        let text = run(curl.args(["-s", "-m", "5", "-w", "\n%{http_code}", &url]))?;
        let (body, status) = text.rsplit_once('\n').context("no status")?;
        Ok((status.parse()?, body.to_owned()))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(name) = self.netns.path().file_name() {
            // What is left over is seen by `ip netns` and harms nobody.
            run(Command::new("ip").args(["netns", "del"]).arg(name)).ok();
        }
    }
}

/// A namespace in which all addresses of the scene are its own.
fn namespace() -> Result<Netns> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("wp-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    run(Command::new("ip").args(["netns", "add", &name]))?;
    let netns = Netns::named(&name);
    let ip = |arguments: &str| run(netns.command("ip").args(arguments.split(' '))).map(drop);
    ip("link set lo up")?;
    ip("addr add 10.1.0.0/24 dev lo")?;
    // A /24 on lo makes every address of it local, but none a source to be chosen: each is named.
    for last in [1, 8, 9, 11, 12, 21, 31] {
        ip(&format!("addr add 10.1.0.{last}/32 dev lo"))?;
    }
    Ok(netns)
}

/// The waypoint's binary: what `AMBIT_WAYPOINT_BINARY` names, else the release build.
pub(crate) fn waypoint_binary() -> Result<PathBuf> {
    let target = || match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    let binary =
        std::env::var_os("AMBIT_WAYPOINT_BINARY").map_or_else(|| target().join("release/waypoint"), PathBuf::from);
    ensure!(binary.is_file(), "no waypoint at {}: build it, or name it in AMBIT_WAYPOINT_BINARY", binary.display());
    Ok(binary)
}
