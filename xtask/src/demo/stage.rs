//! What the demo is played on: nodes, pods, agents, and nginx in one of the pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambit_tests::{Agent, AgentOptions, ConfigDir, Pod, PodSpec, Process, World, run, until};
use anyhow::{Context as _, Result, bail, ensure};

use super::leftovers;

/// Namespaces are `ambit-<pod or node>`, as the manifests in `examples/two-nodes` say.
pub(super) const PREFIX: &str = "ambit";
/// Everything the demo writes.
pub(super) const DIRECTORY: &str = "/run/ambit-demo";
/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// The Service `web` of the manifests.
pub(super) const SERVICE: &str = "10.110.0.10:80";
/// The port `http` of the pod `web`.
pub(super) const PORT: u16 = 8080;
/// In everything the server answers: it must never be read on the link.
pub(super) const MARKER: &str = "a-word-nobody-else-may-read";

pub(super) struct Stage {
    // Dropped in this order: programs before what they run in.
    pub(super) agents: [Agent; 2],
    pub(super) nginx: Process,
    /// What the later acts start.
    pub(super) more: Vec<Process>,
    pub(super) config: ConfigDir,
    pub(super) client: Pod,
    pub(super) other: Pod,
    pub(super) web: Pod,
    pub(super) world: World,
}

impl Stage {
    /// Sets everything up, ready to be used.
    pub(super) fn set() -> Result<(String, Self)> {
        let mut world = World::named(PREFIX, Path::new(DIRECTORY))?;
        let mut pod =
            |namespace: &str, name: &str, node, index| world.pod(PodSpec::new(namespace, name, node).index(index));
        let client = pod("shop", "client", 1, 2)?;
        pod("shop", "web-local", 1, 3)?;
        let other = pod("shop", "other", 1, 4)?;
        let web = pod("shop", "web", 2, 2)?;
        pod("outside", "plain", 2, 3)?;
        let config = ConfigDir::new(world.directory())?;
        copy(&example("two-nodes"), config.path())?;
        let page = format!("listen {PORT};\nreturn 200 '{MARKER}\\n';\n");
        let nginx = start_nginx(&world, &web, &page)?;
        let agent = |node| Agent::start(AgentOptions::new(&world, node, config.path()));
        let mut agents = [agent(1)?, agent(2)?];
        agents.iter_mut().try_for_each(Agent::wait_ready)?;
        let seen = format!(
            "ip netns: ambit-node-1 with client, web-local, other; ambit-node-2 with web, plain\n\
             agents {} and {} are ready; manifests: a copy of examples/two-nodes\n\
             nginx is process {} in pod web and knows of nothing",
            agents[0].id(),
            agents[1].id(),
            nginx.id()
        );
        let stage = Self { agents, nginx, more: Vec::new(), config, client, other, web, world };
        stage.note()?;
        Ok((seen, stage))
    }

    /// Notes the processes down, for whoever cleans up after this one.
    pub(super) fn note(&self) -> Result<()> {
        let [one, two] = &self.agents;
        let more = self.more.iter().map(Process::id);
        leftovers::note(&[one.id(), two.id(), self.nginx.id()].into_iter().chain(more).collect::<Vec<_>>())
    }

    /// Puts the mesh back into the state it was set up in.
    pub(super) fn restore(&mut self) -> Result<()> {
        for file in ["policy.yaml", "web-only-client.yaml"] {
            self.config.remove(file).ok();
        }
        let namespaces = fs::read_to_string(example("two-nodes").join("namespaces.yaml"))?;
        self.config.write("namespaces.yaml", &namespaces)?;
        until("the mesh as it was", PATIENCE, || self.fetch(&self.client, SERVICE).is_ok().then_some(()))
    }

    /// Fetches the page with curl from inside a pod.
    pub(super) fn fetch(&self, from: &Pod, host: &str) -> Result<String> {
        let url = format!("http://{host}/");
        let options = ["--silent", "--show-error", "--fail", "--max-time", "5", &url];
        run(from.netns().command("curl").args(options))
    }

    /// Leaves everything running; says how to try things.
    pub(super) fn keep(mut self) -> Result<String> {
        self.world.keep();
        for agent in self.agents {
            agent.leave();
        }
        self.nginx.leave();
        self.more.into_iter().for_each(Process::leave);
        Ok(format!(
            "\nIt goes on running. To try things:\n\
             \x20 nsenter --net=/run/netns/ambit-client curl http://{SERVICE}/\n\
             \x20 tcpdump -i link0 -A, run by nsenter --net=/run/netns/ambit-node-1\n\
             \x20 cp examples/two-nodes-policies/deny-client.yaml {DIRECTORY}/config/\n\
             \x20 nsenter --net=/run/netns/ambit-node-1 curl localhost:15000/config_dump\n\
             \x20 tail -f {DIRECTORY}/node-1.out {DIRECTORY}/node-1.err\n\
             To take it all away: cargo xtask demo --down"
        ))
    }

    /// Takes everything away and looks whether it is gone.
    pub(super) fn strike(self) -> Result<String> {
        drop(self);
        for left in fs::read_dir("/run/netns")?.flatten().map(|entry| entry.file_name()) {
            if left.to_string_lossy().starts_with("ambit-") {
                bail!("the namespace {} is left", left.display());
            }
        }
        ensure!(!Path::new(DIRECTORY).exists(), "{DIRECTORY} is left");
        Ok("no process, namespace, pinned program or file of the demo".to_owned())
    }
}

/// A folder of examples in the source tree.
pub(super) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Copies the manifests of a folder.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "yaml") {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Starts an nginx in a pod, with `server` as its only one.
pub(super) fn start_nginx(world: &World, pod: &Pod, server: &str) -> Result<Process> {
    let (folder, name) = (world.directory().display(), pod.name());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/{name}-{kind};\n"))
        .concat();
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid {folder}/{name}.pid;\nerror_log {folder}/{name}.log;\n\
         events {{ }}\n\
         http {{\n  log_format seen '$remote_addr $request $status';\n\
         \x20 access_log {folder}/{name}-access.log seen;\n{temporary}\
         \x20 server {{\n{server}\n  }}\n}}\n"
    );
    let file = world.directory().join(format!("{name}.conf"));
    fs::write(&file, configuration)?;
    let mut command = pod.netns().command("nginx");
    command.arg("-c").arg(&file);
    Process::start(command, world.directory(), name)
}
