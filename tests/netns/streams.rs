//! What TCP promises holds through the tunnel: every byte, in order, at the reader's pace; each side's
//! end for itself; a reset is a reset.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use ambit_tests::{Agent, Behaviour, Connection, Pod, Server, ask, run, until};

use crate::shop::{PATIENCE, Shop, seen};
use crate::together::together;

const BLOCK: usize = 64 << 10;
const GIGABYTE: u64 = 1_000_000_000;

/// How long a writer may be kept waiting before it counts as stopped by its reader.
const STALL: Duration = Duration::from_secs(2);

/// Connections whose reader never reads: fewer than the streams of one tunnel.
const STALLED: usize = 50;

/// What each of their writers wants to send; in all, far more than an agent may hold.
const OFFER: usize = 64 << 20;

#[test]
fn ten_gigabytes_arrive_whole_both_ways_at_once() -> Result<()> {
    let shop = Shop::open()?;
    let (client, server) = pair(&shop.client, &shop.web)?;
    let blocks = 5 * GIGABYTE / BLOCK as u64;
    let work: [Box<dyn FnOnce() -> Result<()> + Send>; 4] = [
        Box::new(|| send_blocks(&client, blocks)),
        Box::new(|| send_blocks(&server, blocks)),
        Box::new(|| expect_blocks(&client, blocks)),
        Box::new(|| expect_blocks(&server, blocks)),
    ];
    together(work).map(drop)
}

#[test]
fn readers_that_never_read_stop_their_writers_and_cost_the_agent_little() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--workers", "1")])?;
    let pairs = pairs(&shop)?;
    let before = [resident(shop.mesh.agent(1)?)?, resident(shop.mesh.agent(2)?)?];
    stall(pairs.iter().map(|(client, _)| client))?;
    stall(pairs.iter().map(|(_, server)| server))?;
    for (node, before) in [1, 2].into_iter().zip(before) {
        let grown = resident(shop.mesh.agent(node)?)?.saturating_sub(before);
        assert!(grown < 128 << 20, "node {node}: {grown} bytes more for {} offered", 2 * STALLED * OFFER);
    }
    Ok(())
}

#[test]
fn readers_that_never_read_stop_no_other_connection() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--workers", "1")])?;
    let mut before = Connection::established(&shop.client.netns(), shop.service)?;
    let pairs = pairs(&shop)?;
    stall(pairs.iter().map(|(client, _)| client))?;
    assert_eq!(seen(&shop.other.netns(), shop.service)?, shop.other.ip4(), "of another pod");
    before.ask("still there").answer().context("in the same tunnel, opened before")?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "in the same tunnel, opened after");
    Ok(())
}

#[test]
fn a_server_may_end_its_side_first() -> Result<()> {
    let shop = Shop::open()?;
    let (mut client, mut server) = pair(&shop.client, &shop.web)?;
    server.write_all(b"last words")?;
    server.shutdown(Shutdown::Write)?;
    let mut heard = String::new();
    client.read_to_string(&mut heard)?;
    assert_eq!(heard, "last words");
    // The other way is still open.
    client.write_all(&[7; 1_000_000])?;
    client.shutdown(Shutdown::Write)?;
    let mut all = Vec::new();
    server.read_to_end(&mut all)?;
    assert_eq!(all.len(), 1_000_000);
    Ok(())
}

#[test]
fn a_reset_arrives_as_a_reset_either_way() -> Result<()> {
    let shop = Shop::open()?;
    for client_resets in [true, false] {
        let (client, server) = pair(&shop.client, &shop.web)?;
        let (first, mut second) = if client_resets { (client, server) } else { (server, client) };
        setsockopt(&first, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
        drop(first);
        let end = second.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "client resets: {client_resets}");
    }
    Ok(())
}

#[test]
fn hundreds_of_connections_share_a_few_tunnels_of_their_own_pod() -> Result<()> {
    ambit_sys::raise_open_files()?;
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--workers", "1")])?;
    let mut open = Vec::new();
    for _ in 0..350 {
        open.push(Connection::established(&shop.client.netns(), shop.service)?);
    }
    // As many as it takes at 100 streams each.
    assert_eq!(tunnels(&shop.client)?, 4);
    assert_eq!(tunnels(&shop.other)?, 0);
    let mut other = Connection::established(&shop.other.netns(), shop.service)?;
    assert_eq!(tunnels(&shop.client)?, 4);
    assert_eq!(tunnels(&shop.other)?, 1, "another identity has tunnels of its own");
    for connection in open.iter_mut().chain([&mut other]) {
        connection.ask("still there").answer()?;
    }
    // What ended makes room for what comes.
    open.truncate(10);
    until("the ends of all connections but ten", PATIENCE, || {
        let closed = shop.mesh.agent(1).ok()?.metrics().ok()?.sum("istio_tcp_connections_closed_total", &[]);
        (closed >= 340.0).then_some(())
    })?;
    for _ in 0..50 {
        open.push(Connection::established(&shop.client.netns(), shop.service)?);
    }
    assert_eq!(tunnels(&shop.client)?, 4);
    Ok(())
}

#[test]
fn many_short_connections_at_once_are_all_served() -> Result<()> {
    let shop = Shop::open()?;
    let _server = Server::start(&shop.web.netns(), 8081, Behaviour::Echo)?;
    let callers = (0..8).map(|caller| {
        let (from, to) = (if caller % 2 == 0 { &shop.client } else { &shop.other }.netns(), shop.web.at(8081));
        move || {
            (0..100).try_for_each(|call| {
                let line = format!("{caller}-{call}");
                ensure!(ask(&from, to, &line)?.answer()? == line, "somebody else's answer");
                Ok(())
            })
        }
    });
    together(callers).map(drop)
}

/// Both ends of one connection through the mesh.
fn pair(client: &Pod, web: &Pod) -> Result<(TcpStream, TcpStream)> {
    let listener = web.netns().run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    listener.set_nonblocking(true)?;
    let to = SocketAddr::new(web.ip4().into(), listener.local_addr()?.port());
    let client = client.netns().run(|| TcpStream::connect(to))??;
    let (server, _) = until("a connection through the mesh", PATIENCE, || listener.accept().ok())?;
    server.set_nonblocking(false)?;
    for end in [&client, &server] {
        end.set_read_timeout(Some(PATIENCE * 2))?;
        end.set_write_timeout(Some(PATIENCE * 2))?;
    }
    Ok((client, server))
}

/// Sends numbered blocks of noise, then ends this side.
fn send_blocks(mut stream: &TcpStream, blocks: u64) -> Result<()> {
    let noise = noise();
    for number in 0..blocks {
        stream
            .write_all(&number.to_be_bytes())
            .and_then(|()| stream.write_all(&noise))
            .with_context(|| format!("send block {number}"))?;
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

/// Reads what [`send_blocks`] sends, up to the end.
fn expect_blocks(mut stream: &TcpStream, blocks: u64) -> Result<()> {
    let (noise, mut got_number, mut got) = (noise(), [0; 8], vec![0; BLOCK]);
    for number in 0..blocks {
        stream
            .read_exact(&mut got_number)
            .and_then(|()| stream.read_exact(&mut got))
            .with_context(|| format!("read block {number}"))?;
        ensure!(u64::from_be_bytes(got_number) == number && got == noise, "block {number} is not what was sent");
    }
    ensure!(stream.read(&mut got)? == 0, "more than was sent");
    Ok(())
}

/// A block without a period, so that a byte out of place shows.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [highest, ..] = state.to_be_bytes();
        highest
    };
    (0..BLOCK).map(next).collect()
}

/// The connections whose reader will not read.
fn pairs(shop: &Shop) -> Result<Vec<(TcpStream, TcpStream)>> {
    (0..STALLED).map(|_| pair(&shop.client, &shop.web)).collect()
}

/// Writes to all of them at once, until each is held up.
fn stall<'a>(writers: impl Iterator<Item = &'a TcpStream>) -> Result<()> {
    for sent in together(writers.map(|stream| || write_until_stalled(stream)))? {
        ensure!(sent < OFFER, "a writer was not held up by a reader that does not read");
    }
    Ok(())
}

/// Writes until nothing is taken any more; gives what was taken.
fn write_until_stalled(mut stream: &TcpStream) -> Result<usize> {
    stream.set_write_timeout(Some(STALL))?;
    let (block, mut sent) = (vec![7; BLOCK], 0);
    while sent < OFFER {
        match stream.write(&block) {
            Ok(taken) => sent += taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

/// The agent's resident memory in bytes. `nsenter` has become the agent, so that the id is its own.
fn resident(agent: &Agent) -> Result<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? << 10)
}

/// TCP connections from a pod to tunnel ports.
fn tunnels(pod: &Pod) -> Result<usize> {
    let filter = ["--no-header", "--numeric", "--tcp", "state", "established", "dport = :15008"];
    Ok(run(pod.netns().command("ss").args(filter))?.lines().count())
}
