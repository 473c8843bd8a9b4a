//! Ways around the capture that somebody once thought of, and moments in which it could be missing.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt};

use ambit_tests::{Agent, Netns, Outcome, Pod, ask, manifest, run, until};

use crate::shop::{PATIENCE, PORT, Shop, seen, wait_answered, wait_captured, wait_turned_down};

/// How often what must never happen is given the chance.
const ATTEMPTS: usize = 30;

/// Ways to connect `s` to `to`, in Python: Rust's standard library has none of them.
const SOCKETS: [(&str, &str); 4] = [
    ("TCP fast open by sendto", "s = socket.socket(); s.sendto(b'who\\n', socket.MSG_FASTOPEN, to)"),
    ("TCP fast open by connect", "s = socket.socket(); s.setsockopt(6, 30, 1); s.connect(to); s.sendall(b'who\\n')"),
    ("MPTCP", "s = socket.socket(proto=262); s.connect(to); s.sendall(b'who\\n')"),
    (
        "bound to a device",
        "s = socket.socket(); s.setsockopt(1, socket.SO_BINDTODEVICE, b'eth0'); s.connect(to); s.sendall(b'who\\n')",
    ),
];

#[test]
fn sockets_of_every_kind_are_captured() -> Result<()> {
    let mut shop = Shop::open()?;
    for (kind, connect) in SOCKETS {
        for to in [shop.service, shop.web.at(PORT)] {
            let before = shop.mesh.agent(1)?.access_log().len();
            let capture = shop.mesh.world.capture()?;
            let script = format!(
                "import socket, sys; to = (sys.argv[1], int(sys.argv[2]))\n\
                 {connect}\ns.settimeout(5); print(s.recv(100).decode())"
            );
            let mut python = shop.client.netns().command("python3");
            python.args(["-c", &script, &to.ip().to_string(), &to.port().to_string()]);
            let peer: SocketAddr = run(&mut python).context(kind)?.trim().parse().context(kind)?;
            assert_eq!(peer.ip(), shop.client.ip4(), "{kind} to {to}");
            let agent = shop.mesh.agent(1)?;
            until("a line in the access log", PATIENCE, || (agent.access_log().len() > before).then_some(()))
                .with_context(|| format!("{kind} to {to}"))?;
            let traffic = capture.stop()?;
            assert!(traffic.streams_of(shop.web.ip4().into(), PORT).is_empty(), "{kind} to {to}");
        }
    }
    Ok(())
}

#[test]
fn a_pod_reaches_its_own_loopback_from_its_own_address() -> Result<()> {
    let shop = Shop::open()?;
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
    let stream = connect_from(&shop.web.netns(), shop.web.at(0), loopback)?;
    assert_eq!(stream.local_addr()?.ip(), shop.web.ip4());
    assert_eq!(stream.peer_addr()?, loopback);
    until("the connection at the server", PATIENCE, || {
        shop.server.peers().contains(&stream.local_addr().ok()?).then_some(())
    })
}

/// With cookies the kernel looks for the listener twice: at the first packet, and at the last of the
/// handshake.
#[test]
fn a_pod_that_answers_with_syn_cookies_only_is_served_as_others() -> Result<()> {
    let shop = Shop::open()?;
    for pod in [&shop.client, &shop.web] {
        pod.netns().run(|| fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2"))??;
    }
    for _ in 0..ATTEMPTS {
        for to in [shop.service, shop.service6] {
            ask(&shop.client.netns(), to, "who")?.answer().context("client to service")?;
        }
        let node = shop.mesh.world.node(2);
        for to in [shop.web.at(PORT), shop.web.at6(PORT)] {
            ask(&node.netns(), to, "who")?.answer().context("probe of the node")?;
        }
        assert_eq!(seen(&shop.plain.netns(), shop.web.at(PORT))?, shop.plain.ip4());
    }
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    wait_turned_down(&shop.plain.netns(), shop.web.at(PORT))?;
    never_answered(&shop.plain, shop.web.at(PORT))
}

/// The agent's last hop wears the client's address: the client can connect with the very addresses and
/// ports that the kernel let pass for the agent a moment ago.
#[test]
fn a_port_that_the_agent_used_for_its_last_hop_lets_no_client_pass_later() -> Result<()> {
    let shop = Shop::open()?;
    let mut used = Vec::new();
    for to in [shop.web.at(PORT), shop.web.at6(PORT)] {
        for _ in 0..ATTEMPTS {
            used.push((ask(&shop.plain.netns(), to, "who")?.answer()?.parse::<SocketAddr>()?, to));
        }
    }
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    wait_turned_down(&shop.plain.netns(), shop.web.at(PORT))?;
    for (from, to) in used.iter().copied() {
        // Refused at once, or cut when the agent has judged.
        let answer = connect_from(&shop.plain.netns(), from, to).and_then(|mut stream| {
            stream.write_all(b"who\n")?;
            Ok(stream.read(&mut [0; 100])?)
        });
        assert!(answer.as_ref().map_or_else(is_an_end, |length| *length == 0), "{from} to {to}: {answer:?}");
    }
    let peers = shop.server.peers();
    let known = |peer: &&SocketAddr| used.iter().any(|(from, _)| from == *peer);
    assert_eq!(peers.iter().filter(known).count(), used.len(), "the server saw some of them again");
    Ok(())
}

#[test]
fn a_second_pod_that_names_anothers_namespace_is_refused_and_takes_nothing_with_it() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    shop.mesh.start()?;
    let twin = manifest::pod(&shop.web)
        .replace(r#""web""#, r#""web-2""#)
        .replace(&shop.web.ip4().to_string(), "10.99.9.9")
        .replace(&shop.web.ip6().to_string(), "fd99::9");
    shop.mesh.config.write("pod-shop-web-2.yaml", &twin)?;
    let why = wait_not_ready(shop.mesh.agent(2)?, "shop/web-2 is not enrolled")?;
    assert!(why.lines().any(|line| line.contains("shop/web-2 ") && line.trim_end().ends_with("shop/web")), "{why}");
    never_answered(&shop.plain, shop.web.at(PORT))?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());

    shop.mesh.config.remove("pod-shop-web-2.yaml")?;
    shop.mesh.agent(2)?.wait_ready()?;
    never_answered(&shop.plain, shop.web.at(PORT))?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

/// Container runtimes unmount the file before the last process of the pod has ended.
#[test]
fn a_pod_whose_namespace_file_is_gone_stays_captured_as_long_as_it_lives() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    shop.mesh.start()?;
    run(Command::new("umount").arg("--lazy").arg(shop.web.netns().path()))?;
    shop.mesh.apply(
        "mark.yaml",
        &manifest::policy("outside", "a-mark", "nothing", "DENY", &["cluster.local/ns/x/sa/x"]),
        "a-mark",
    )?;
    never_answered(&shop.plain, shop.web.at(PORT))?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "the mesh still reaches it");

    let served = shop.server.peers().len();
    shop.mesh.agent(2)?.process().kill()?;
    let mut successor = shop.mesh.agent(2)?.start_again()?;
    wait_not_ready(&successor, "shop/web is not enrolled")?;
    never_answered(&shop.plain, shop.web.at(PORT))?;
    assert_eq!(shop.server.peers().len(), served, "nor without the agent that knew it");
    successor.stop().map(drop)
}

#[test]
fn a_change_of_addresses_lets_nothing_through() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    shop.mesh.start()?;
    let now = manifest::pod(&shop.web);
    let other = now.replace(&shop.web.ip6().to_string(), "fd99::77");
    let (netns, to, over) = (shop.plain.netns(), shop.web.at(PORT), AtomicBool::new(false));
    thread::scope(|scope| {
        let attempts = scope.spawn(|| {
            let mut outcomes = Vec::new();
            while !over.load(Ordering::Relaxed) {
                outcomes.push(ask(&netns, to, "who")?);
            }
            Ok::<_, anyhow::Error>(outcomes)
        });
        let changed = (0..5).flat_map(|_| [&other, &now]).try_for_each(|text| {
            let before = enrolments(shop.mesh.agent(2)?, &shop.web);
            shop.mesh.config.write("pod-shop-web.yaml", text)?;
            let agent = shop.mesh.agent(2)?;
            until("the pod captured anew", PATIENCE, || (enrolments(agent, &shop.web) > before).then_some(()))?;
            never_answered(&shop.plain, to)
        });
        over.store(true, Ordering::Relaxed);
        let outcomes = attempts.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        assert!(outcomes.iter().all(Outcome::is_turned_down), "{outcomes:?}");
        changed
    })?;
    assert!(shop.server.peers().is_empty());
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

/// Pins of an agent with other maps capture on until the new agent has all its pods, and no longer.
#[test]
fn an_agent_with_another_map_layout_takes_over() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    shop.mesh.start()?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    let mut old = Vec::new();
    for node in [1, 2] {
        shop.mesh.agent(node)?.process().kill()?;
        let directory = shop.mesh.world.bpffs().join(format!("node-{node}"));
        let renamed = directory.join("v0");
        fs::rename(only_entry(&directory)?, &renamed)?;
        old.push(renamed);
    }
    assert_eq!(ask(&shop.client.netns(), shop.service, "who")?, Outcome::Refused);
    never_answered(&shop.plain, shop.web.at(PORT))?;
    for node in [1, 2] {
        shop.mesh.restart_agent(node)?;
        never_answered(&shop.plain, shop.web.at(PORT))?;
    }
    wait_answered(&shop.client.netns(), shop.service)?;
    until("the old pins gone", PATIENCE, || old.iter().all(|directory| !directory.exists()).then_some(()))?;
    wait_captured(shop.mesh.agent(1)?, &shop.client, shop.service)?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    assert!(matches!(ask(&shop.mesh.world.node(2).netns(), shop.web.at(PORT), "who")?, Outcome::Answered(_)));
    never_answered(&shop.plain, shop.web.at(PORT))
}

/// Turned down each time: what is not captured would be answered.
fn never_answered(from: &Pod, to: SocketAddr) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let outcome = ask(&from.netns(), to, "who")?;
        ensure!(outcome.is_turned_down(), "{} to {to}: {outcome:?}", from.name());
    }
    Ok(())
}

/// Connects from a port of the caller's choice; 0 is any.
fn connect_from(netns: &Netns, from: SocketAddr, to: SocketAddr) -> Result<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = netns.run(|| socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None))??;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(to)).map_err(std::io::Error::from)?;
    Ok(stream)
}

/// Whether the other end refused or cut a connection.
fn is_an_end(error: &anyhow::Error) -> bool {
    let end =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset);
    error.downcast_ref().is_some_and(end)
}

/// Waits until an agent gives this reason for not being ready.
fn wait_not_ready(agent: &Agent, why: &str) -> Result<String> {
    let mut last = String::new();
    until("an agent that is not ready", PATIENCE, || {
        let (status, body) = agent.readiness().ok()?;
        last.clone_from(&body);
        (status == 503 && body.contains(why)).then_some(body)
    })
    .with_context(|| last)
}

/// How often the agent says that it captured the pod.
fn enrolments(agent: &Agent, pod: &Pod) -> usize {
    let name = format!("{}/{} ", pod.namespace(), pod.name());
    agent.log().lines().filter(|line| line.contains(&name) && line.contains("enrolled")).count()
}

fn only_entry(directory: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(directory)?;
    let first = entries.next().context("no pins")??.path();
    ensure!(entries.next().is_none(), "more than one layout in {}", directory.display());
    Ok(first)
}
