//! Agents whose configuration and certificates come from a control plane.

mod cni_folders;
mod control_plane;
mod crio;
mod fleet;
mod host_ports;

use std::fs;
use std::path::PathBuf;

use ambit_cni::{Answer, Command, Request};
use ambit_model::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch};
use ambit_xds::proto::node::pod_report::State;
use ambit_xds::{Entry, TypeUrl};
use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use ambit_tests::{Behaviour, Outcome, Pod, Process, Server, ask, run, until, ztunnel_binary};

use crate::shop::{PATIENCE, PORT, wait_answered, wait_turned_down};
use cni_folders::CniFolders;
use fleet::{Fleet, running, workload};

/// `client` on node 1 and `web` on node 2, enrolled.
struct Pair {
    client: Pod,
    web: Pod,
    _server: Server,
    fleet: Fleet,
}

impl Pair {
    /// Known to the control plane, with an agent on each node.
    fn plain() -> Result<Self> {
        let mut fleet = Fleet::new()?;
        let (client, web) = (fleet.pod("client", 1)?, fleet.pod("web", 2)?);
        let server = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
        for pod in [&client, &web] {
            fleet.control_plane.put(&running(pod), pod.name(), false);
        }
        fleet.start()?;
        Ok(Self { client, web, _server: server, fleet })
    }

    fn enrolled() -> Result<Self> {
        let pair = Self::plain()?;
        for pod in [&pair.client, &pair.web] {
            pair.fleet.control_plane.put_pod(&running(pod), pod.name(), true);
            pair.fleet.control_plane.wait_report(pod.name(), State::Enrolled)?;
        }
        Ok(pair)
    }

    fn ask(&self) -> Result<Outcome> {
        ask(&self.client.netns(), self.web.at(PORT), "who")
    }

    /// Asks until the answer comes through a tunnel.
    fn wait_tunnelled(&mut self) -> Result<()> {
        let identity = self.client.identity();
        let before = self.tunnelled(&identity)?;
        until("a connection through a tunnel", PATIENCE, || {
            self.ask().ok()?;
            (self.tunnelled(&identity).ok()? > before).then_some(())
        })
    }

    /// How many connections of that identity were served at `web`.
    fn tunnelled(&mut self, identity: &str) -> Result<usize> {
        let log = self.fleet.agent(2)?.access_log();
        Ok(log.iter().filter(|line| line.field("src.identity") == identity && line.error().is_none()).count())
    }
}

/// Denies `pod` to those of this service account.
fn deny(pod: &Pod, account: &str) -> Authorization {
    let principal = StringMatch::Exact(format!("cluster.local/ns/{}/sa/{account}", pod.namespace()).into());
    let of = Match { principals: vec![principal], ..Match::default() };
    Authorization {
        key: PolicyKey { namespace: pod.namespace().into(), name: "deny".into() },
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![of] }] }],
        dry_run: false,
    }
}

#[test]
fn pods_are_enrolled_governed_and_let_go_while_they_run() -> Result<()> {
    let mut pair = Pair::plain()?;
    let (client, web) = (pair.client.clone(), pair.web.clone());
    assert!(matches!(pair.ask()?, Outcome::Answered(_)));
    assert!(pair.fleet.agent(2)?.access_log().is_empty(), "nobody is enrolled yet");
    pair.fleet.control_plane.wait_report("web", State::Released)?;

    for pod in [&client, &web] {
        pair.fleet.control_plane.put_pod(&running(pod), pod.name(), true);
        pair.fleet.control_plane.wait_report(pod.name(), State::Enrolled)?;
    }
    pair.wait_tunnelled()?;

    pair.fleet.control_plane.publish(Entry::authorization(&deny(&web, client.account())));
    wait_turned_down(&client.netns(), web.at(PORT))?;
    pair.fleet.control_plane.publish(Entry::removed(TypeUrl::Authorization, "shop/deny"));
    wait_answered(&client.netns(), web.at(PORT))?;

    pair.fleet.control_plane.put_pod(&running(&web), "web", false);
    pair.fleet.control_plane.wait_report("web", State::Released)?;
    wait_answered(&client.netns(), web.at(PORT))?;
    let served = pair.tunnelled(&client.identity())?;
    pair.ask()?.answer()?;
    assert_eq!(pair.tunnelled(&client.identity())?, served, "a pod that was let go is still reached by tunnel");
    Ok(())
}

#[test]
fn the_mesh_goes_on_while_the_control_plane_is_away() -> Result<()> {
    let mut pair = Pair::enrolled()?;
    let other = pair.fleet.pod("other", 1)?;
    pair.fleet.control_plane.put(&running(&other), "other", true);
    pair.fleet.control_plane.wait_report("other", State::Enrolled)?;
    pair.fleet.control_plane.publish(Entry::authorization(&deny(&pair.web, "other")));
    wait_turned_down(&other.netns(), pair.web.at(PORT))?;
    pair.wait_tunnelled()?;
    let kept = pair.fleet.world.directory().join("state-node-2/discovery/node-2");
    until("the last good state on disk", PATIENCE, || {
        let kept = fs::read(&kept).ok()?;
        kept.windows(9).any(|part| part == b"shop/deny").then_some(())
    })?;

    pair.fleet.control_plane.kill();
    pair.fleet.agent(2)?.wait_log("lost the control plane")?;
    pair.wait_tunnelled()?;
    assert!(ask(&other.netns(), pair.web.at(PORT), "who")?.is_turned_down(), "policy holds on");

    // An agent that starts without the control plane knows the mesh, but has no certificates.
    pair.fleet.agent(2)?.stop()?;
    pair.fleet.restart_agent(2)?.wait_log("the last good state is in force")?;
    assert!(pair.ask()?.is_turned_down(), "without a certificate there is no connection, and never a plain one");
    let why = until("readiness that says why", PATIENCE, || {
        let (_, why) = pair.fleet.agent(2).ok()?.readiness().ok()?;
        why.contains("no certificate").then_some(why)
    })?;
    assert!(why.contains("sa/web"), "{why}");
    let plain = ask(&pair.fleet.world.node(1).netns(), pair.web.at(PORT), "who")?;
    assert!(matches!(plain, Outcome::Answered(_)), "plaintext is served as policy says: {plain:?}");

    pair.fleet.control_plane.forget_reports();
    pair.fleet.control_plane.start_again()?;
    pair.fleet.control_plane.wait_report("web", State::Enrolled)?;
    pair.fleet.agent(2)?.wait_ready()?;
    pair.wait_tunnelled()?;
    assert!(ask(&other.netns(), pair.web.at(PORT), "who")?.is_turned_down(), "policy holds on");
    Ok(())
}

#[test]
fn uninstalling_leaves_nothing_in_the_pods_and_on_the_node() -> Result<()> {
    let mut pair = Pair::enrolled()?;
    pair.wait_tunnelled()?;
    let directory = pair.fleet.world.directory().to_owned();
    let (bpffs, state) = (pair.fleet.world.bpffs(), directory.join("state-node-1"));
    until("the last good state on disk", PATIENCE, || state.join("discovery/node-1").exists().then_some(()))?;
    let rules = || pair.client.netns().run(|| run(std::process::Command::new("ip").args(["rule"])))?;
    assert!(rules()?.contains("0x1539"), "an enrolled pod has the agent's rule");
    pair.fleet.agent(1)?.stop()?;
    let mut uninstall = pair.fleet.world.node(1).netns().command(ztunnel_binary()?);
    uninstall.args(["--uninstall", "--node", "node-1"]);
    uninstall.arg("--bpffs").arg(&bpffs).arg("--state").arg(&state);
    run(uninstall.arg("--netns-dirs").arg(directory.join("netns-node-1")))?;
    assert!(!rules()?.contains("0x1539"));
    assert!(!state.exists() && !bpffs.join("node-1").exists());
    wait_answered(&pair.client.netns(), pair.web.at(PORT))
}

#[test]
fn a_control_plane_that_is_not_the_meshs_is_not_believed() -> Result<()> {
    let mut fleet = Fleet::new()?;
    let stranger = fleet.world.directory().join("stranger");
    fs::create_dir(&stranger)?;
    let stranger = ambit_identity::CertificateAuthority::open_or_create(
        &stranger,
        ambit_identity::CaOptions::new("cluster.local"),
    )
    .map(|_| ambit_identity::CertificateAuthority::roots_path(&stranger))?;
    let nobodys = fleet.world.directory().join("token");
    fs::write(&nobodys, "nobody's")?;
    for (option, value, reason) in [
        ("--control-plane-roots", &*stranger.to_string_lossy(), "UnknownIssuer"),
        ("--control-plane-name", "another.name", "NotValidForName"),
        ("--token", &*nobodys.to_string_lossy(), "refused"),
        ("--token", "/nowhere", "/nowhere"),
    ] {
        let agent = fleet.start_agent(1, &[(option, value)])?;
        until(&format!("readiness that says {reason}"), PATIENCE, || {
            let (status, why) = agent.readiness().ok()?;
            (status == 503 && why.contains(reason)).then_some(())
        })
        .with_context(|| agent.log())?;
        agent.stop()?;
    }
    Ok(())
}

#[test]
fn a_successor_of_the_same_name_and_address_is_not_taken_for_its_predecessor() -> Result<()> {
    let mut pair = Pair::enrolled()?;
    pair.wait_tunnelled()?;
    let index = pair.web.index();
    // The namespace of the old one lingers where the runtime keeps them, and is held open by a process.
    let mut lingering = pair.web.netns().command("sleep");
    lingering.arg("600");
    let _lingering = Process::start(lingering, pair.fleet.world.directory(), "lingering")?;
    pair.fleet.delete(&pair.web.clone())?;
    pair.fleet.control_plane.remove(&running(&pair.web));
    let spec = ambit_tests::PodSpec::new("shop", "web", 2).index(index);
    pair.web = pair.fleet.place(spec)?;
    pair._server = Server::start(&pair.web.netns(), PORT, Behaviour::Whoami)?;
    pair.fleet.control_plane.put(&running(&pair.web), "web-2", true);
    pair.fleet.control_plane.wait_report("web-2", State::Enrolled)?;
    pair.wait_tunnelled()
}

#[test]
fn a_pod_deleted_by_force_stays_captured_while_its_network_is_there() -> Result<()> {
    let mut pair = Pair::enrolled()?;
    pair.wait_tunnelled()?;
    pair.fleet.control_plane.remove(&running(&pair.client));
    pair.fleet.agent(1)?.wait_log("it stays captured")?;
    assert!(pair.ask()?.is_turned_down(), "what is left of it went on, in plaintext or as what it was");
    pair.fleet.hide(&pair.client)?;
    wait_answered(&pair.client.netns(), pair.web.at(PORT))
}

#[test]
fn a_pod_whose_addresses_another_claims_stays_captured() -> Result<()> {
    let mut pair = Pair::enrolled()?;
    let (claimed, third) = (running(&pair.client), pair.fleet.pod("third", 1)?);
    pair.fleet.control_plane.put_workload(&workload(&pair.client, &[]));
    pair.fleet.control_plane.put_workload(&ambit_model::Workload {
        uid: ambit_model::WorkloadUid::pod("Kubernetes", "shop", "claimant"),
        ..claimed
    });
    // Enrolled in a pass that knows of it.
    pair.fleet.control_plane.put(&running(&third), "third", true);
    pair.fleet.control_plane.wait_report("third", State::Enrolled)?;
    pair.wait_tunnelled()?;
    let log = pair.fleet.agent(1)?.log();
    assert!(!log.contains("released") && !log.contains("it stays captured"), "{log}");
    Ok(())
}

#[test]
fn a_namespace_of_a_process_is_a_pods_only_in_the_pods_cgroup() -> Result<()> {
    let mut fleet = Fleet::new()?;
    let uid = format!("0d1c8f2e-7a1b-4c3d-9e8f-{:012x}", std::process::id());
    let pod = fleet.pod("web", 1)?;
    fleet.hide(&pod)?;
    let mut sleep = pod.netns().command("sleep");
    sleep.arg("600");
    let sleep = Process::start(sleep, fleet.world.directory(), "sleep")?;
    fleet.control_plane.put(&running(&pod), &uid, true);
    fleet.start_agent(1, &[])?;
    let reason = fleet.control_plane.wait_report(&uid, State::Failed)?;
    assert!(reason.contains("no network namespace"), "{reason}");
    fleet.agent(1)?.wait_ready().context("a pod's own trouble is not the node's")?;

    let _cgroup = Cgroup::of(&uid, sleep.id())?;
    fleet.control_plane.wait_report(&uid, State::Enrolled)?;
    fleet.agent(1)?.wait_ready()
}

/// A pod's cgroup with one process in it, as a kubelet makes it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn of(uid: &str, process: u32) -> Result<Self> {
        let root = ambit_ebpf_loader::default_cgroup().context("no cgroup v2")?;
        let path = root.join(format!("kubepods-pod{}.slice", uid.replace('-', "_")));
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        let cgroup = Self(path);
        fs::write(cgroup.0.join("cgroup.procs"), process.to_string())?;
        Ok(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its process was ended a moment ago, and leaves in its own time.
        until("an empty cgroup", PATIENCE, || fs::remove_dir(&self.0).ok()).ok();
    }
}

#[test]
fn a_pod_starts_captured_before_anybody_else_knows_its_address() -> Result<()> {
    let mut pair = Pair::enrolled()?;
    let folders = CniFolders::make(pair.fleet.world.directory())?;
    let network = r#"{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge"}]}"#;
    fs::write(folders.networks.join("10-net.conflist"), network)?;
    pair.fleet.agent(1)?.stop()?;
    folders.start_agent(&mut pair.fleet, 1)?.wait_ready()?;
    let log = pair.fleet.agent(1)?.log();
    assert!(!log.contains("last good state is in force"), "the control plane is there, and says all in time");

    let late = pair.fleet.pod("late", 1)?;
    pair.fleet.hide(&late)?;
    pair.fleet.control_plane.put(&workload(&late, &[]), "late", true);
    let request = |command| {
        let mut request = Request::new(command, "shop", "late", "sandbox-1", "eth0");
        request.pod_uid = Some("late".to_owned());
        request.netns = Some(late.netns().path().to_owned());
        request.addresses = vec![late.ip4().into(), late.ip6().into()];
        request
    };
    let say = |request: Request| ambit_cni::ask(&folders.socket, &request, PATIENCE);
    assert_eq!(say(request(Command::Add))?, Answer::Enrolled);
    let (identity, before) = (late.identity(), pair.tunnelled(&late.identity())?);
    assert!(matches!(ask(&late.netns(), pair.web.at(PORT), "who")?, Outcome::Answered(_)));
    until("its first connection in the log of its peer's agent", PATIENCE, || {
        (pair.tunnelled(&identity).ok()? > before).then_some(())
    })?;

    pair.fleet.control_plane.put(&running(&late), "late", true);
    assert_eq!(say(request(Command::Check))?, Answer::Enrolled);
    assert_eq!(say(request(Command::Delete))?, Answer::Released);
    let dump = pair.fleet.agent(1)?.config_dump()?;
    assert!(!dump["pods"].to_string().contains("late"), "{}", dump["pods"]);

    let unknown = Request { pod: "unknown".to_owned(), pod_uid: None, ..request(Command::Add) };
    let refused = say(unknown.clone())?;
    assert!(matches!(refused, Answer::Refused { retry: true, .. }), "its namespace is meshed: {refused:?}");
    let outside = Request { namespace: "outside".to_owned(), ..unknown };
    assert_eq!(say(outside)?, Answer::NotMeshed);
    pair.fleet.agent(1)?.process().signal(Signal::SIGTERM)
}
