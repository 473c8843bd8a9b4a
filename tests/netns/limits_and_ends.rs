//! Limits that hold for streams as for connections, an end that comes even to what is still being
//! connected, and tunnels that do not outlive what they were made with.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use ambit_tests::{Agent, Connection, Netns, until};

use crate::shop::{PATIENCE, PORT, Shop, seen};

#[test]
fn streams_of_tunnels_and_plaintext_share_a_pods_limit() -> Result<()> {
    const LIMIT: usize = 20;
    let mut shop = Shop::closed()?;
    shop.mesh.start_agent(1, &[])?.wait_ready()?;
    shop.mesh.start_agent(2, &[("--workers", "1"), ("--max-connections-per-pod", &LIMIT.to_string())])?.wait_ready()?;
    let mut open = Vec::new();
    for _ in 0..LIMIT {
        open.push(Connection::established(&shop.client.netns(), shop.service)?);
    }
    assert!(ambit_tests::ask(&shop.client.netns(), shop.service, "who")?.is_turned_down());
    assert!(ambit_tests::ask(&shop.plain.netns(), shop.web.at(PORT), "who")?.is_turned_down());
    for source in [&shop.client, &shop.plain] {
        shop.mesh.agent(2)?.wait_access(|line| {
            let limited =
                line.error().is_some_and(|error| error.contains("too many connections of this pod: the limit is 20"));
            limited && line.field("src.addr").starts_with(&source.ip4().to_string())
        })?;
    }
    shop.mesh.agent(1)?.wait_access(|line| line.error().is_some_and(|error| error.contains("503")))?;
    open.truncate(LIMIT / 2);
    until("room again", PATIENCE, || seen(&shop.client.netns(), shop.service).ok())?;
    open.iter_mut().try_for_each(|open| open.ask("still there").answer().map(drop))
}

#[test]
fn an_application_that_does_not_accept_does_not_hold_up_the_end() -> Result<()> {
    const DEAF: u16 = 9000;
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--drain-seconds", "1")])?;
    let (_deaf, _queued) = deaf(&shop.web.netns(), shop.web.at(DEAF))?;
    let _tunnelled = Connection::open(&shop.client.netns(), shop.web.at(DEAF))?;
    let _plain = Connection::open(&shop.plain.netns(), shop.web.at(DEAF))?;
    until("the agent connecting to the application twice", PATIENCE, || {
        (connecting(&shop.web.netns(), DEAF).ok()? == 2).then_some(())
    })?;
    let agent = shop.mesh.agent(2)?;
    agent.process().signal(Signal::SIGTERM)?;
    agent.process().wait(PATIENCE)?;
    assert!(!agent.log().contains("did not end"), "{}", agent.log());
    let drained = |agent: &Agent| {
        agent.access_log().iter().filter(|line| line.error().is_some_and(|error| error.contains("drain"))).count()
    };
    assert_eq!(drained(agent), 2, "{:?}", agent.access_log());
    Ok(())
}

#[test]
fn a_renewed_certificate_is_shown_in_a_new_tunnel() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--certificate-lifetime-seconds", "6"), ("--workers", "1")])?;
    let mut open = Connection::established(&shop.client.netns(), shop.service)?;
    until("a second tunnel, for a connection after the renewal", PATIENCE, || {
        seen(&shop.client.netns(), shop.service).ok()?;
        (shop.mesh.agent(1).ok()?.metrics().ok()?.sum("ambit_tunnels_open", &[]) >= 2.0).then_some(())
    })?;
    open.ask("still there").answer()?;
    Ok(())
}

/// A listener that accepts nothing and whose queue is full.
fn deaf(netns: &Netns, at: SocketAddr) -> Result<(TcpListener, Vec<TcpStream>)> {
    const MORE_THAN_ANY_QUEUE: usize = 10_000;
    netns.run(|| {
        let listener = TcpListener::bind(at).context("bind")?;
        let mut queued = Vec::new();
        while queued.len() < MORE_THAN_ANY_QUEUE {
            match TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
                Ok(stream) => queued.push(stream),
                Err(_full) => return Ok((listener, queued)),
            }
        }
        bail!("a queue without an end")
    })?
}

/// How many sockets in a namespace wait for an answer from this port.
fn connecting(netns: &Netns, port: u16) -> Result<usize> {
    const SYN_SENT: &str = "02";
    let remote = format!(":{port:04X}");
    let sockets = netns.proc_file("net/tcp")?;
    let waits = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|to| to.ends_with(&remote)) && fields.next() == Some(SYN_SENT)
    };
    Ok(sockets.lines().filter(waits).count())
}
