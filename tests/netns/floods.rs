//! Peers that take and do not give: connections by the thousand, handshakes without an end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use ambit_tests::{Connection, Metrics, Pod, knock, until};

use crate::shop::{PATIENCE, Shop, seen};
use crate::together::together;
use crate::tunnel::{Authority, Silence, Validity};

/// More than the agent waits for a peer.
const LONGER_THAN_A_HANDSHAKE: Duration = Duration::from_secs(30);

#[test]
fn handshakes_that_never_end_hold_up_nobody_and_are_ended() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut open = Connection::established(&shop.client.netns(), shop.service)?;
    let credentials = Authority::of(&shop.mesh)?.certify(&[&shop.client.identity()], Validity::Now)?;
    let (from, to) = (shop.plain.netns(), shop.web.at(15008));
    // Never a ClientHello, never the rest of it, and, with a good certificate, never a word of HTTP/2.
    let mut silent = Vec::new();
    for count in 0..200 {
        let mut stream = from.run(|| TcpStream::connect_timeout(&to, PATIENCE))??;
        if count % 2 == 0 {
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])?;
        }
        stream.set_read_timeout(Some(LONGER_THAN_A_HANDSHAKE))?;
        silent.push(stream);
    }
    let mute = Silence::after_tls(&from, to, &credentials)?;

    open.ask("still there").answer()?;
    assert_eq!(seen(&shop.other.netns(), shop.service)?, shop.other.ip4(), "a new tunnel is made meanwhile");
    assert_eq!(seen(&from, shop.web.at(8080))?, shop.plain.ip4(), "a plain connection is served meanwhile");

    for mut stream in silent {
        // An end, in whatever way; a timeout of this read would be none.
        let end = stream.read(&mut [0; 64]).map_err(|error| error.kind());
        ensure!(matches!(end, Ok(0 | 1..) | Err(std::io::ErrorKind::ConnectionReset)), "{end:?}");
    }
    mute.wait_end(LONGER_THAN_A_HANDSHAKE)?;
    open.ask("still there").answer()?;
    assert!(shop.mesh.agent(2)?.process().ended().is_none());
    Ok(())
}

#[test]
fn thousands_of_calls_to_the_capture_port_are_refused_and_leave_nothing_behind() -> Result<()> {
    const CALLS: usize = 3000;
    let mut shop = Shop::open()?;
    seen(&shop.client.netns(), shop.service)?;
    let before = open_files(&shop.mesh.agent(1)?.metrics()?);
    let own = SocketAddr::new(shop.client.ip4().into(), 15001);
    let answered = call(&shop.client, own, CALLS)?;
    assert_eq!(answered, 0, "of {CALLS} calls some were answered");
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 15001);
    assert!(knock(&shop.client.netns(), loopback, "let me in")?.is_turned_down());

    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    let counted = shop.mesh.agent(1)?.metrics()?.sum("ambit_captured_without_original_destination_total", &[]);
    assert_eq!(counted, CALLS as f64);
    until("all their descriptors closed", PATIENCE, || {
        (open_files(&shop.mesh.agent(1).ok()?.metrics().ok()?) <= before + 8.0).then_some(())
    })
}

#[test]
fn a_pod_at_its_limit_of_connections_takes_none_from_others() -> Result<()> {
    const LIMIT: usize = 50;
    let mut shop = Shop::closed()?;
    // On the client's node only: the server has limits of its own.
    shop.mesh.start_agent(1, &[("--workers", "1"), ("--max-connections-per-pod", &LIMIT.to_string())])?;
    shop.mesh.start_agent(2, &[])?.wait_ready()?;
    shop.mesh.agent(1)?.wait_ready()?;
    let mut open = Vec::new();
    for _ in 0..LIMIT {
        open.push(Connection::established(&shop.client.netns(), shop.service)?);
    }
    assert!(ambit_tests::ask(&shop.client.netns(), shop.service, "who")?.is_turned_down());
    let line = shop.mesh.agent(1)?.wait_access(|line| line.error().is_some())?;
    assert!(line.error().is_some_and(|error| error.contains("the limit is 50")), "{line:?}");
    assert_eq!(seen(&shop.other.netns(), shop.service)?, shop.other.ip4());
    open.truncate(LIMIT / 2);
    until("room again", PATIENCE, || seen(&shop.client.netns(), shop.service).ok())?;
    Ok(())
}

/// Calls from several threads at once; gives how many got a byte.
fn call(from: &Pod, to: SocketAddr, calls: usize) -> Result<usize> {
    const CALLERS: usize = 8;
    let caller = || from.netns().run(|| (0..calls / CALLERS).filter(|_| is_answered(to)).count());
    Ok(together([caller; CALLERS])?.into_iter().sum())
}

/// Whether a server says anything.
fn is_answered(to: SocketAddr) -> bool {
    let exchange = || -> Result<usize> {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"let me in\n")?;
        stream.read(&mut [0; 1]).context("no answer")
    };
    exchange().is_ok_and(|read| read > 0)
}

fn open_files(metrics: &Metrics) -> f64 {
    metrics.sum("process_open_fds", &[])
}
