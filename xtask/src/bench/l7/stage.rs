//! A client, a server and both contenders between them, in a network namespace of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ambit_tests::{Netns, Process, run, until};
use anyhow::{Context as _, Result};

use super::contender::{Contender, Kind};
use super::ends::{Ends, Load, Seen, Speak};
use super::manifests::{self, CLIENT, SERVER};
use super::{Programs, envoy};
use crate::bench::servers::wait_listening;

const PATIENCE: Duration = Duration::from_secs(30);

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// In a tunnel, as an agent takes it.
    Tunnel,
    /// As it is, outside of the mesh.
    Plain,
}

impl Out {
    /// As in the report, behind the rest.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tunnel => "",
            Self::Plain => "_plain",
        }
    }
}

/// What is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) routes: u32,
    /// How many of them are in one object of the waypoint's, and so in one file.
    pub(super) rules_each: usize,
    pub(super) out: Out,
}

impl Scene {
    /// As many rules in an object as an HTTPRoute may have.
    pub(super) fn new(routes: u32, out: Out) -> Self {
        Self { routes, rules_each: 16, out }
    }
}

/// Everything that runs; ended when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) scene: Scene,
    ends: Ends,
    contenders: Vec<Contender>,
    _server: Process,
    // Dropped last.
    place: Place,
}

/// Where everything runs, and its files; taken away when dropped.
#[derive(Debug)]
struct Place {
    netns: Netns,
    folder: PathBuf,
}

impl Stage {
    /// Sets everything up and sees that each contender answers.
    pub(super) fn set(programs: &Programs, scene: Scene) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ambit-bench-l7-{}", std::process::id()));
        let state = folder.join("state");
        for part in ["state", "config", "envoy", "new"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let netns = namespace()?;
        let place = Place { netns: netns.clone(), folder: folder.clone() };
        let waypoint = waypoint(programs, &netns, &folder, scene)?;
        wait_ready(&netns, &waypoint)?;
        // The waypoint has made the mesh's authority by now.
        let server = Process::start(programs.ends.server(&netns, &state, SERVER), &folder, "server")?;
        wait_listening(&netns, 8080)?;
        let identity = "spiffe://cluster.local/ns/shop/sa/waypoint";
        programs.ends.certificate(&state, &folder.join("envoy"), identity)?;
        let envoy = envoy::start(&programs.envoy, &netns, &folder.join("envoy"), (scene.routes, scene.out))?;
        wait_ready(&netns, &envoy)?;
        let (contenders, ends) = (vec![envoy, waypoint], programs.ends.clone());
        let stage = Self { scene, ends, contenders, _server: server, place };
        for contender in &stage.contenders {
            for speak in Speak::ALL {
                let load = Load { speak, connections: 1, routes: scene.routes, seconds: 0.1, rate: None };
                let works = || format!("{:?} does not work: {}", contender.kind, contender.process.errors());
                stage.put(&load, contender).with_context(works)?;
            }
        }
        Ok(stage)
    }

    /// All contenders, starting with another one each round.
    pub(super) fn contenders_from(&self, round: u32) -> impl Iterator<Item = &Contender> {
        let skip = round as usize % self.contenders.len();
        self.contenders.iter().cycle().skip(skip).take(self.contenders.len())
    }

    /// Puts a load on a contender.
    pub(super) fn put(&self, load: &Load, contender: &Contender) -> Result<Seen> {
        self.ends.load(&self.place.netns, &self.place.folder.join("state"), load, contender)
    }

    /// Changes the last route of all, and gives the milliseconds until the first request on it is answered.
    pub(super) fn change(&self, contender: &Contender, round: u32) -> Result<f64> {
        let last = format!("changed{round}");
        let Scene { routes, rules_each, .. } = self.scene;
        let text = match contender.kind {
            Kind::Waypoint => manifests::routes(routes, rules_each, &last).pop().context("no routes")?,
            Kind::Envoy => envoy::routes(80, routes, &last).to_string(),
        };
        let new = self.place.folder.join("new/routes");
        fs::write(&new, text)?;
        let state = self.place.folder.join("state");
        self.ends.change(&self.place.netns, &state, contender, (&new, &format!("/{last}/x")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(name) = self.netns.path().file_name() {
            // What is left over harms nobody, and `ip netns` shows it.
            run(Command::new("ip").args(["netns", "del"]).arg(name)).ok();
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn waypoint(programs: &Programs, netns: &Netns, folder: &Path, scene: Scene) -> Result<Contender> {
    let config = folder.join("config");
    fs::write(config.join("mesh.yaml"), manifests::mesh(scene.out))?;
    let mut file = PathBuf::new();
    for (number, text) in manifests::routes(scene.routes, scene.rules_each, "last").iter().enumerate() {
        file = config.join(format!("routes-{number}.yaml"));
        fs::write(&file, text)?;
    }
    let address = Kind::Waypoint.address().to_string();
    let mut command = netns.command(&programs.waypoint);
    command.arg("--config").arg(&config).arg("--state").arg(folder.join("state"));
    command.args(["--name", "shop/waypoint", "--address", &address, "--listen", &format!("{address}:15008")]);
    command.args(["--workers", "1", "--access-log", "off", "--log", "warn"]);
    let process = Process::start(command, folder, "waypoint")?;
    Ok(Contender { kind: Kind::Waypoint, process, routes: file })
}

fn wait_ready(netns: &Netns, contender: &Contender) -> Result<()> {
    let ready = || {
        let mut curl = netns.command("curl");
        run(curl.args(["--silent", "--fail", "--max-time", "5", contender.kind.readiness()])).ok().map(drop)
    };
    until(&format!("{:?}'s readiness", contender.kind), PATIENCE, ready).with_context(|| contender.process.errors())
}

/// A namespace in which all addresses are its own.
fn namespace() -> Result<Netns> {
    let name = format!("bench-l7-{}", std::process::id());
    run(Command::new("ip").args(["netns", "add", &name]))?;
    let netns = Netns::named(&name);
    let ip = |arguments: &str| run(netns.command("ip").args(arguments.split(' '))).map(drop);
    ip("link set lo up")?;
    let contenders = Kind::ALL.map(|kind| kind.address().to_string());
    for address in contenders.iter().map(String::as_str).chain([CLIENT, SERVER]) {
        ip(&format!("addr add {address}/32 dev lo"))?;
    }
    Ok(netns)
}
