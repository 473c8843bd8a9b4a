//! Agents end, die and come back; nobody talks in the clear meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use nix::sys::signal::Signal;

use ambit_tests::{Connection, Outcome, ask, run, until, ztunnel_binary};

use crate::shop::{PATIENCE, PORT, Shop, seen, wait_answered};

#[test]
fn open_connections_live_through_the_drain_and_no_longer() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--drain-seconds", "3")])?;
    let mut connection = Connection::established(&shop.client.netns(), shop.service)?;
    let agent = shop.mesh.agent(1)?;
    agent.process().signal(Signal::SIGTERM)?;
    until("an agent that is not ready", PATIENCE, || {
        agent.readiness().map_or(true, |(code, _)| code != 200).then_some(())
    })?;
    connection.ask("still there").answer()?;
    assert!(agent.process().wait(PATIENCE)?.success());
    let end = connection.read();
    assert!(matches!(end, Outcome::Closed | Outcome::Reset), "{end:?}");
    let log = agent.access_log();
    assert!(log.iter().any(|line| line.error().is_some_and(|error| error.contains("drain"))), "{log:?}");
    Ok(())
}

#[test]
fn a_second_signal_ends_the_drain() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--drain-seconds", "600")])?;
    let _connection = Connection::established(&shop.client.netns(), shop.service)?;
    let agent = shop.mesh.agent(1)?;
    agent.process().signal(Signal::SIGTERM)?;
    until("an agent that is not ready", PATIENCE, || {
        agent.readiness().map_or(true, |(code, _)| code != 200).then_some(())
    })?;
    agent.process().signal(Signal::SIGTERM)?;
    agent.process().wait(PATIENCE)?;
    Ok(())
}

#[test]
fn quitquitquit_drains_too() -> Result<()> {
    let mut shop = Shop::open()?;
    let agent = shop.mesh.agent(1)?;
    assert_eq!(agent.admin("POST", "/quitquitquit")?.0, 200);
    assert!(agent.process().wait(PATIENCE)?.success());
    Ok(())
}

#[test]
fn a_dead_agent_means_refusal_and_never_plaintext() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut open = Connection::established(&shop.client.netns(), shop.service)?;
    let capture = shop.mesh.world.capture()?;
    shop.mesh.agent(1)?.process().kill()?;
    let end = open.read();
    assert!(matches!(end, Outcome::Closed | Outcome::Reset), "{end:?}");
    for to in [shop.service, shop.web.at(PORT), shop.service6, shop.web.at6(PORT)] {
        assert_eq!(ask(&shop.client.netns(), to, "never-in-the-clear")?, Outcome::Refused, "{to}");
    }
    let traffic = capture.stop()?;
    assert!(!traffic.contains(b"never-in-the-clear"));
    assert!(traffic.streams_of(shop.web.ip4().into(), PORT).is_empty());

    shop.mesh.restart_agent(1)?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn a_dead_agent_lets_nobody_past_it_to_the_server() -> Result<()> {
    let mut shop = Shop::open()?;
    seen(&shop.plain.netns(), shop.web.at(PORT))?;
    shop.mesh.agent(2)?.process().kill()?;
    let served = shop.server.peers().len();
    for client in [&shop.client, &shop.plain] {
        let outcome = ask(&client.netns(), shop.web.at(PORT), "who")?;
        assert!(!matches!(outcome, Outcome::Answered(_)), "{} was served", client.name());
    }
    assert_eq!(shop.server.peers().len(), served);
    Ok(())
}

#[test]
fn restarts_leave_nothing_behind() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--drain-seconds", "1")])?;
    let before = pins(&shop.mesh.world.bpffs());
    assert!(!before.is_empty(), "the kernel programs are pinned");
    for round in 0..4 {
        let agent = shop.mesh.agent(1)?;
        agent.process().signal(if round % 2 == 0 { Signal::SIGKILL } else { Signal::SIGTERM })?;
        agent.process().wait(PATIENCE)?;
        shop.mesh.restart_agent(1)?;
        assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
        assert_eq!(pins(&shop.mesh.world.bpffs()), before);
    }
    Ok(())
}

#[test]
fn a_new_agent_takes_over_while_the_old_one_drains() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--drain-seconds", "600")])?;
    let mut open = Connection::established(&shop.client.netns(), shop.service)?;
    shop.mesh.agent(1)?.process().signal(Signal::SIGTERM)?;
    // Until then it answers for its successor that it is ready.
    shop.mesh.agent(1)?.wait_log("stopping")?;
    let mut old = shop.mesh.restart_agent(1)?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    assert!(old.process().ended().is_none(), "the old agent still drains");
    open.ask("still there").answer()?;
    drop(open);
    old.process().wait(PATIENCE)?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn uninstalling_gives_the_pods_back() -> Result<()> {
    let mut shop = Shop::open()?;
    let bpffs = shop.mesh.world.bpffs();
    shop.mesh.agent(1)?.process().kill()?;
    assert_eq!(ask(&shop.client.netns(), shop.web.at(PORT), "who")?, Outcome::Refused);
    let mut uninstall = shop.mesh.world.node(1).netns().command(ztunnel_binary()?);
    run(uninstall.args(["--uninstall", "--node", "node-1", "--bpffs"]).arg(&bpffs))?;
    assert!(pins(&bpffs.join("node-1")).is_empty());
    wait_answered(&shop.client.netns(), shop.web.at(PORT))?;
    shop.mesh
        .agent(2)?
        .wait_access(|line| line.field("src.workload") == "client" && line.field("src.identity").is_empty())?;
    Ok(())
}

/// All files below a folder.
fn pins(directory: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(pins(&path));
        } else {
            all.insert(path.display().to_string());
        }
    }
    all
}
