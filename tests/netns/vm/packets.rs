//! Virtual machines, packet by packet: what a socket would take care of, and what somebody may try.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};

use ambit_tests::{Behaviour, Netns, Outcome, Process, Server, ask, run, until};

use super::Machines;
use crate::shop::{PATIENCE, PORT, seen};

/// With cookies the kernel keeps nothing of a connection before the last packet of the handshake.
#[test]
fn syn_cookies_are_no_obstacle() -> Result<()> {
    let machines = Machines::open()?;
    let Machines { vm, web, plain, to_web, .. } = &machines;
    vm.outer_netns().run(|| fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2"))??;
    for _ in 0..10 {
        for to in to_web {
            ask(&vm.netns(), *to, "who")?.answer().context("from the VM")?;
        }
        for (client, to) in [(web, vm.at(PORT)), (web, vm.at6(PORT)), (plain, vm.at(PORT)), (plain, vm.at6(PORT))] {
            ask(&client.netns(), to, "who")?.answer().with_context(|| format!("{} to {to}", client.name()))?;
        }
        ask(&machines.mesh.world.node(1).netns(), vm.at(PORT), "who")?.answer().context("probe of the node")?;
    }
    machines.strict()
}

/// The other end closed first, so that its side of the connection is remembered for a minute, and the client
/// takes the same port again.
#[test]
fn a_port_is_used_again_at_once() -> Result<()> {
    let machines = Machines::open()?;
    let Machines { vm, web, plain, .. } = &machines;
    let script = "import socket, sys, threading\n\
        def serve():\n\
        \x20 while True:\n\
        \x20   c, _ = s.accept(); c.sendall(b'bye'); c.close()\n\
        s = socket.create_server(('', 7000))\n\
        print('ready', flush=True)\n\
        serve()\n";
    let ask = "import socket, sys\n\
        for _ in range(3):\n\
        \x20 s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('', 7777)); s.settimeout(5)\n\
        \x20 s.connect((sys.argv[1], 7000)); assert s.recv(10) == b'bye', 'no answer'; assert s.recv(1) == b''\n\
        \x20 s.close()\n";
    for (server, client) in [(web, vm), (vm, plain)] {
        let mut command = server.netns().command("python3");
        command.args(["-c", script]);
        let name = format!("server-in-{}", server.name());
        let process = Process::start(command, machines.mesh.world.directory(), &name)?;
        until("the server's start", PATIENCE, || process.output().contains("ready").then_some(()))?;
        run(client.netns().command("python3").args(["-c", ask, &server.ip4().to_string()]))
            .with_context(|| format!("{} to {}", client.name(), server.name()))?;
    }
    Ok(())
}

#[test]
fn what_the_namespace_around_a_vm_serves_and_asks_is_its_own() -> Result<()> {
    let machines = Machines::open()?;
    let Machines { vm, web, to_web, .. } = &machines;
    let _server = Server::start(&vm.outer_netns(), 5300, Behaviour::Whoami)?;
    let gateway: SocketAddr = "169.254.2.1:5300".parse()?;
    assert_eq!(seen(&vm.netns(), gateway)?, vm.ip4());
    // What listens there at every address has nothing to say where the VM asks the mesh.
    let _wildcard = Server::start(&vm.outer_netns(), 80, Behaviour::Say("not the mesh".to_owned()))?;
    assert_eq!(seen(&vm.netns(), to_web[0])?, vm.ip4());
    assert!(!matches!(ask(&web.netns(), vm.at(80), "who")?, Outcome::Answered(_)));
    assert_eq!(seen(&vm.outer_netns(), vm.at(PORT))?, gateway.ip(), "it reaches its guest");
    Ok(())
}

#[test]
fn an_address_of_a_vm_that_is_not_the_workloads_is_no_way_into_it() -> Result<()> {
    let machines = Machines::open()?;
    let Machines { vm, plain, .. } = &machines;
    let other: SocketAddr = "10.101.1.200:8080".parse()?;
    let ip = |netns: Netns, words: &str| run(netns.command("ip").args(words.split(' ')));
    ip(vm.netns(), "addr add 10.101.1.200/32 dev eth0")?;
    ip(vm.outer_netns(), "route add 10.101.1.200/32 dev tap0")?;
    let port = format!("pod{}", vm.index());
    let route = format!("route add 10.101.1.200/32 via 169.254.1.2 dev {port} onlink");
    ip(machines.mesh.world.node(1).netns(), &route)?;
    assert_eq!(seen(&vm.outer_netns(), other)?, "169.254.2.1".parse::<IpAddr>()?, "it is there");
    let outcome = ask(&plain.netns(), other, "who")?;
    assert!(!matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    Ok(())
}

#[test]
fn a_vm_that_asks_for_itself_is_turned_down() -> Result<()> {
    let machines = Machines::open()?;
    for to in machines.to_vm {
        assert!(ask(&machines.vm.netns(), to, "who")?.is_turned_down(), "{to}");
    }
    Ok(())
}

/// Packets that would be put together behind the programs, or that wear the VM's address.
#[test]
fn what_cannot_be_told_is_dropped() -> Result<()> {
    let mut machines = Machines::open()?;
    machines.strict()?;
    let (vm, plain, web) = (machines.vm.clone(), machines.plain.clone(), machines.web.clone());
    // The first eight bytes of a SYN; what follows them may come in another fragment.
    let script = "import socket, struct, sys\n\
        source, target = sys.argv[1:3]\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n\
        ip = lambda fragment, length: struct.pack('!BBHHHBBH4s4s', 69, 0, 20 + length, 7, fragment, 64, 6, 0, \
        socket.inet_aton(source), socket.inet_aton(target))\n\
        tcp = struct.pack('!HHIIBBHHH', 7777, 8080, 1, 0, 80, 2, 1000, 0, 0)\n\
        for packet in [ip(0x2000, 8) + tcp[:8], ip(1, 12) + tcp[8:]]: s.sendto(packet, (target, 0))\n\
        if len(sys.argv) > 3: s.sendto(ip(0, 20) + tcp, (target, 0))\n";
    let (from_vm, from_plain) = (vm.ip4().to_string(), plain.ip4().to_string());
    let capture = machines.mesh.world.capture()?;
    run(plain.netns().command("python3").args(["-c", script, &from_plain, &from_vm]))?;
    run(plain.netns().command("python3").args(["-c", script, &from_vm, &from_vm, "whole"]))?;
    run(vm.netns().command("python3").args(["-c", script, &from_vm, &web.ip4().to_string()]))?;
    let traffic = capture.stop()?;
    assert!(traffic.streams_of(web.ip4().into(), PORT).is_empty(), "the VM's fragments left");
    let agent = machines.mesh.agent(1)?;
    until("all of them counted", PATIENCE, || {
        let dump = agent.config_dump().ok()?;
        (dump["kernelFaults"]["unreadable_packet"].as_u64()? >= 7).then_some(())
    })
}

/// The way between the nodes carries less than the interfaces at its ends: the network says so to who sent what
/// is too big, and that is the agent, by the VM's address.
#[test]
fn a_narrow_way_is_told_to_the_agent() -> Result<()> {
    let machines = Machines::open()?;
    let Machines { vm, web, plain, .. } = &machines;
    for node in [1, 2] {
        let narrow = ["link", "set", "link0", "mtu", "1300"];
        run(machines.mesh.world.node(node).netns().command("ip").args(narrow))?;
    }
    let _echo = [vm, web].map(|pod| Server::start(&pod.netns(), 8081, Behaviour::Echo));
    let long = "x".repeat(100_000);
    for (client, to) in [(vm, web.at(8081)), (vm, web.at6(8081)), (web, vm.at(8081)), (plain, vm.at6(8081))] {
        let answer = ask(&client.netns(), to, &long)?.answer().with_context(|| format!("{} to {to}", client.name()))?;
        assert_eq!(answer.len(), long.len());
    }
    Ok(())
}
