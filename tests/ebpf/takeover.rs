//! Agents come and go; what is pinned stays, until it is taken away.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ambit_ebpf_loader::{Node, uninstall};
use anyhow::{Context as _, Result};

use ambit_tests::{Behaviour, Netns, Outcome, Server, ask, until};

use crate::kernel::{Kernel, PATIENCE};

#[test]
fn the_next_agent_finds_the_pods_and_no_connection_slips_by_meanwhile() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let server = Server::start(&kernel.web.netns(), 8080, Behaviour::Echo)?;
    let (netns, to, over) = (kernel.pod.netns(), kernel.web.at(8080), AtomicBool::new(false));
    let attempts = thread::scope(|scope| -> Result<usize> {
        let connecting = scope.spawn(|| {
            let connect = || (!over.load(Ordering::Relaxed)).then(|| TcpStream::connect(to).is_ok());
            netns.run(|| std::iter::from_fn(connect).count())
        });
        for _ in 0..10 {
            kernel.node = Node::load(&kernel.options)?;
            assert!(kernel.node.enrolled()?.contains_key(&kernel.cookie));
            kernel.enrol()?;
        }
        over.store(true, Ordering::Relaxed);
        connecting.join().unwrap()
    })?;
    assert!(attempts > 0);
    assert!(server.peers().is_empty(), "{} of {attempts} connections slipped by", server.peers().len());
    Ok(())
}

#[test]
fn a_released_pod_is_as_before() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let _web = Server::start(&kernel.web.netns(), 8080, Behaviour::Echo)?;
    let _own = Server::start(&kernel.pod.netns(), 8080, Behaviour::Echo)?;
    kernel.captured(kernel.web.at(8080))?;
    let pod = kernel.node.enrolled()?.remove(&kernel.cookie).context("it is enrolled")?;
    kernel.node.release(kernel.cookie, pod)?;
    assert!(kernel.node.enrolled()?.is_empty());
    kernel.agent = None;
    assert_eq!(ask(&kernel.pod.netns(), kernel.web.at(8080), "out")?.answer()?, "out");
    wait_answered(&kernel.plain.netns(), kernel.pod.at(8080))?;
    kernel.enrol()?;
    kernel.captured(kernel.web.at(8080))?;
    kernel.intercepted(&kernel.plain.netns(), kernel.pod.at(8080))?;
    Ok(())
}

#[test]
fn the_pins_alone_keep_the_capture_and_uninstalling_ends_it() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let server = Server::start(&kernel.web.netns(), 8080, Behaviour::Echo)?;
    let (netns, to) = (kernel.pod.netns(), kernel.web.at(8080));
    let pins = kernel.options.pins.clone();
    kernel.agent = None;
    // What a killed agent leaves: nothing of its own is open any more.
    let Kernel { node, originals, world, .. } = kernel;
    drop((node, originals));
    assert_eq!(ask(&netns, to, "out")?, Outcome::Refused);
    assert!(server.peers().is_empty());
    uninstall(&pins)?;
    assert!(!pins.exists());
    wait_answered(&netns, to)?;
    drop(world);
    Ok(())
}

/// The kernel detaches what nobody holds any more a moment later.
fn wait_answered(from: &Netns, to: SocketAddr) -> Result<()> {
    until("an answer", PATIENCE, || matches!(ask(from, to, "hello"), Ok(Outcome::Answered(_))).then_some(()))
}

#[test]
fn an_agent_of_another_layout_is_retired() -> Result<()> {
    let mut kernel = Kernel::new()?;
    let pins = kernel.options.pins.clone();
    let layouts = || -> Result<Vec<_>> {
        let mut names: Vec<_> = fs::read_dir(&pins)?.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        Ok(names)
    };
    let own = layouts()?;
    // What this agent pinned now passes for an older one's.
    let [only] = own.as_slice() else { anyhow::bail!("one layout is pinned: {own:?}") };
    fs::rename(pins.join(only), pins.join("v0"))?;
    kernel.node = Node::load(&kernel.options)?;
    kernel.node.set_destinations([kernel.web.at(8080).ip()].into_iter())?;
    kernel.originals = kernel.node.original_destinations()?;
    kernel.enrol()?;
    assert_eq!(layouts()?.len(), 2);
    kernel.node.retire_other_layouts()?;
    assert_eq!(layouts()?, own);
    let _web = Server::start(&kernel.web.netns(), 8080, Behaviour::Echo)?;
    // While the older ones are still there, what they lead to the agent is of unknown destination to the new ones.
    until("a connection that the new programs tell the new agent of", PATIENCE, || {
        let (app, _agent) = kernel.captured(kernel.web.at(8080)).ok()?;
        let source = app.local_addr().ok()?;
        let original = kernel.originals.take(kernel.cookie, source.ip(), source.port());
        (original == Some((kernel.web.at(8080).ip(), 8080))).then_some(())
    })
}
