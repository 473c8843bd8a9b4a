//! A namespace shop: a waypoint, two versions of a service behind it, another service, and clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ambit_tests::{ConfigDir, NameServer, Netns, Process, resolving_by, run, until, waypoint_binary};
use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::backend::Backend;

const PATIENCE: Duration = Duration::from_secs(15);

/// The waypoint's own address.
pub(crate) const WAYPOINT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The virtual address of `web`.
pub(crate) const WEB: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The virtual address of `api`.
pub(crate) const API: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);
/// The virtual address of `raw`, whose server is the test itself.
pub(crate) const RAW: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 31);
/// Its pod.
pub(crate) const RAW_POD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 31);
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
    /// Whom the waypoint asks for names.
    pub(crate) names: Option<NameServer>,
}

impl Scene {
    /// A scene with these objects beside those of every scene, its waypoint ready.
    pub(crate) fn with(objects: &str) -> Result<Self> {
        Self::start(objects, None)
    }

    /// The same with a name server, which knows these names below `example`, for the waypoint to ask.
    pub(crate) fn with_names(objects: &str, names: &[(&str, IpAddr)]) -> Result<Self> {
        Self::start(objects, Some(names))
    }

    fn start(objects: &str, names: Option<&[(&str, IpAddr)]>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = ConfigDir::new(folder.path())?;
        config.write("base.yaml", BASE)?;
        config.write("case.yaml", objects)?;
        let netns = namespace()?;
        let backends = PODS.iter().map(|(name, ip)| Backend::start(&netns, name, *ip)).collect::<Result<_>>()?;
        let mut command = command(&netns, &config, folder.path())?;
        let mut server = None;
        if let Some(names) = names {
            let server = server.insert(NameServer::start(&netns, Ipv4Addr::LOCALHOST.into(), folder.path())?);
            server.say(names)?;
            command.args(["--dns-refresh-seconds", "1"]);
            command = resolving_by(&server.resolv_conf(), &command);
        }
        let waypoint = Process::start(command, folder.path(), "waypoint")?;
        let mut scene = Self { netns, waypoint, config, folder, backends, names: server };
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

    /// Says something of the waypoint in its Gateway's annotation.
    pub(crate) fn annotate(&self, says: &str) -> Result<()> {
        let before = "metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}}";
        let after = format!(
            "{}, annotations: {{proxy.istio.io/config: '{says}'}}}}",
            before.trim_end_matches('}').to_owned() + "}"
        );
        self.config.write("base.yaml", &BASE.replace(before, &after))
    }

    /// Says of a pod whether it is ready.
    pub(crate) fn set_ready(&self, pod: &str, is_ready: bool) -> Result<()> {
        let change = |object: &str| match object.contains(&format!("name: {pod},")) && !is_ready {
            true => object.replace("\"True\"", "\"False\""),
            false => object.to_owned(),
        };
        self.config.write("base.yaml", &BASE.split("---\n").map(change).collect::<Vec<_>>().join("---\n"))
    }

    /// Loses packets that arrive and are like this, as a broken network does: nobody says so.
    pub(crate) fn drop_packets(&self, like: &str) -> Result<()> {
        for command in ["table ip lost", "chain ip lost in { type filter hook input priority 0 ; }"] {
            run(self.netns.command("nft").args(["add", command]))?;
        }
        run(self.netns.command("nft").args(["add", &format!("rule ip lost in {like} drop")])).map(drop)
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

    /// What would start another waypoint beside this one.
    pub(crate) fn waypoint(&self) -> Result<Command> {
        command(&self.netns, &self.config, self.folder.path())
    }

    /// The program's memory, in KiB.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.waypoint.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The program.
    pub(crate) fn program(&self) -> &Process {
        &self.waypoint
    }

    /// The program, to be waited for.
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

fn command(netns: &Netns, config: &ConfigDir, folder: &Path) -> Result<Command> {
    let mut command = netns.command(waypoint_binary()?);
    command.arg("--config").arg(config.path()).arg("--state").arg(folder.join("state"));
    command.args(["--name", "shop/waypoint", "--address", &WAYPOINT.to_string()]);
    Ok(command)
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
