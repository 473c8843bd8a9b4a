//! Workloads that are virtual machines: packets pass through their network namespace, no socket is in it.
//! The guest here is a namespace behind a link, which to the kernel is the same; a real machine is
//! among the programs.

mod packets;

use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use ambit_tests::{Behaviour, Connection, Guest, Mesh, Outcome, Pod, PodSpec, Server, ask, manifest, run, until};

use crate::shop::{PATIENCE, PORT, seen, wait_answered, wait_captured, wait_turned_down};

const MARKER: &str = "a-secret-of-the-application";

/// `vm` on node 1 with a server and a Service; `near` on node 1 and `web` on node 2, likewise; all enrolled.
/// `plain` on node 2, not enrolled, with a server.
struct Machines {
    /// The one in the VM.
    server: Server,
    _servers: Vec<Server>,
    vm: Pod,
    near: Pod,
    web: Pod,
    plain: Pod,
    to_vm: [SocketAddr; 2],
    to_web: [SocketAddr; 2],
    mesh: Mesh,
}

impl Machines {
    fn closed() -> Result<Self> {
        let mut mesh = Mesh::new()?;
        let vm = mesh.pod(PodSpec::new("shop", "vm", 1).guest(Guest::Namespace))?;
        let near = mesh.pod(PodSpec::new("shop", "near", 1))?;
        let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
        let plain = mesh.pod(PodSpec::new("outside", "plain", 2))?;
        let (to_vm, to_web) = (mesh.service("vm", PORT)?, mesh.service("web", PORT)?);
        let server = Server::start(&vm.netns(), PORT, Behaviour::Whoami)?;
        let mut servers = Vec::new();
        for pod in [&near, &web, &plain] {
            servers.push(Server::start(&pod.netns(), PORT, Behaviour::Whoami)?);
        }
        Ok(Self { server, _servers: servers, vm, near, web, plain, to_vm, to_web, mesh })
    }

    fn open() -> Result<Self> {
        let mut machines = Self::closed()?;
        machines.mesh.start()?;
        Ok(machines)
    }

    /// How many connections the server in the VM has seen.
    fn served_by_vm(&self) -> usize {
        self.server.peers().len()
    }

    fn strict(&self) -> Result<()> {
        self.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
        wait_turned_down(&self.plain.netns(), self.vm.at(PORT))
    }

    /// Takes the guest's interface away and makes it anew, as hypervisors do.
    fn renew_interface(&self) -> Result<()> {
        let (ip4, ip6) = (self.vm.ip4(), self.vm.ip6());
        let guest = self.vm.netns().path().file_name().context("no name")?.to_string_lossy().into_owned();
        let outside = format!(
            "link del tap0\nlink add tap0 type veth peer name eth0 netns {guest}\nlink set tap0 up\n\
             addr add 169.254.2.1/32 dev tap0\naddr add fe80::3/64 dev tap0 nodad\n\
             route add {ip4}/32 dev tap0\nroute add {ip6}/128 dev tap0\n"
        );
        let inside = format!(
            "link set eth0 up\naddr add {ip4}/32 dev eth0\naddr add {ip6}/128 dev eth0 nodad\n\
             route add 169.254.2.1/32 dev eth0 scope link\nroute add default via 169.254.2.1 dev eth0 src {ip4}\n\
             route add default via fe80::3 dev eth0 src {ip6}\n"
        );
        let file = self.mesh.world.directory().join("commands");
        for (netns, commands) in [(self.vm.outer_netns(), outside), (self.vm.netns(), inside)] {
            fs::write(&file, commands)?;
            run(netns.command("ip").arg("-batch").arg(&file))?;
        }
        Ok(())
    }

    fn unenrol(&self) -> Result<()> {
        let out = manifest::pod(&self.vm).replace(r#""app":"#, r#""istio.io/dataplane-mode":"none","app":"#);
        self.mesh.config.write("pod-shop-vm.yaml", &out)
    }
}

#[test]
fn a_vm_reaches_the_mesh_as_itself() -> Result<()> {
    let mut machines = Machines::open()?;
    let Machines { vm, web, near, to_web, .. } = &machines;
    let _echo = Server::start(&web.netns(), 8081, Behaviour::Echo)?;
    let capture = machines.mesh.world.capture()?;
    for to in [to_web[0], web.at(PORT), near.at(PORT)] {
        assert_eq!(seen(&vm.netns(), to)?, vm.ip4(), "{to} sees the VM's own address");
    }
    for to in [to_web[1], web.at6(PORT), near.at6(PORT)] {
        assert_eq!(seen(&vm.netns(), to)?, vm.ip6(), "{to} sees the VM's own address");
    }
    assert_eq!(ask(&vm.netns(), web.at(8081), MARKER)?.answer()?, MARKER);
    let traffic = capture.stop()?;
    traffic.only_tunnels()?;
    assert!(!traffic.contains(MARKER.as_bytes()), "the payload was read on the link");
    let identities = (vm.identity(), web.identity());
    for node in [1, 2] {
        let line = machines.mesh.agent(node)?.wait_access(|line| line.field("dst.workload") == "web")?;
        assert_eq!(line.is_outbound(), node == 1);
        assert_eq!((line.field("src.identity"), line.field("dst.identity")), (&*identities.0, &*identities.1));
        assert_eq!(line.error(), None);
    }
    Ok(())
}

#[test]
fn a_vm_is_reached_from_the_mesh_as_others_are() -> Result<()> {
    let mut machines = Machines::open()?;
    let Machines { vm, web, near, to_vm, .. } = &machines;
    let capture = machines.mesh.world.capture()?;
    for client in [web, near] {
        for to in [to_vm[0], vm.at(PORT)] {
            assert_eq!(seen(&client.netns(), to)?, client.ip4(), "the VM sees {}", client.name());
        }
        for to in [to_vm[1], vm.at6(PORT)] {
            assert_eq!(seen(&client.netns(), to)?, client.ip6(), "the VM sees {}", client.name());
        }
    }
    capture.stop()?.only_tunnels()?;
    let identities = (web.identity(), vm.identity());
    for node in [1, 2] {
        let line = machines.mesh.agent(node)?.wait_access(|line| line.field("src.workload") == "web")?;
        assert_eq!((line.field("src.identity"), line.field("dst.identity")), (&*identities.0, &*identities.1));
    }
    Ok(())
}

#[test]
fn much_passes_both_ways() -> Result<()> {
    use std::io::{Read as _, Write as _};
    let machines = Machines::open()?;
    for (server, client) in [(&machines.vm, &machines.web), (&machines.web, &machines.vm)] {
        let listener = server.netns().run(|| std::net::TcpListener::bind("0.0.0.0:9000"))??;
        let sum = std::thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            stream.write_all(format!("{}\n", all.len()).as_bytes())
        });
        let mut connection =
            Connection::open(&client.netns(), server.at(9000))?.map_err(|outcome| anyhow::anyhow!("{outcome:?}"))?;
        connection.stream().write_all(&vec![7; 30_000_000])?;
        connection.finish()?;
        assert_eq!(connection.read().answer()?, "30000000");
        sum.join().unwrap()?;
    }
    Ok(())
}

#[test]
fn policy_holds_both_ways() -> Result<()> {
    let mut machines = Machines::open()?;
    let Machines { vm, web, near, .. } = &machines;
    let (vm_id, near_id) = ("cluster.local/ns/shop/sa/vm", "cluster.local/ns/shop/sa/near");
    for (app, denied, to) in [("web", vm_id, web.at(PORT)), ("vm", near_id, vm.at(PORT))] {
        let policy = manifest::policy("shop", &format!("deny-{app}"), app, "DENY", &[denied]);
        machines.mesh.config.write(&format!("deny-{app}.yaml"), &policy)?;
        let client = if app == "web" { vm } else { near };
        wait_turned_down(&client.netns(), to)?;
    }
    assert_eq!(seen(&near.netns(), web.at(PORT))?, near.ip4());
    assert_eq!(seen(&web.netns(), vm.at(PORT))?, web.ip4());
    let (vm_id, near_id) = (vm.identity(), near.identity());
    for (node, denied) in [(2, vm_id), (1, near_id)] {
        let line = machines.mesh.agent(node)?.wait_access(|line| line.error().is_some() && !line.is_outbound())?;
        assert_eq!(line.field("src.identity"), denied);
    }
    Ok(())
}

#[test]
fn a_plain_client_reaches_a_vm_where_permissive_and_not_where_strict() -> Result<()> {
    let machines = Machines::open()?;
    let Machines { vm, plain, web, .. } = &machines;
    assert_eq!(seen(&plain.netns(), vm.at(PORT))?, plain.ip4());
    assert_eq!(seen(&plain.netns(), vm.at6(PORT))?, plain.ip6());
    machines.strict()?;
    // A connection from before the policy may still wait to be accepted: this one comes after it.
    assert_eq!(seen(&web.netns(), vm.at(PORT))?, web.ip4());
    let served = machines.served_by_vm();
    for to in [vm.at(PORT), vm.at6(PORT)] {
        for _ in 0..10 {
            assert!(ask(&plain.netns(), to, "who")?.is_turned_down());
        }
    }
    assert_eq!(machines.served_by_vm(), served, "a denied client never reaches the VM");
    assert_eq!(seen(&web.netns(), vm.at(PORT))?, web.ip4());
    Ok(())
}

#[test]
fn a_vm_reaches_what_is_not_in_the_mesh_as_before() -> Result<()> {
    let mut machines = Machines::open()?;
    let before = machines.mesh.agent(1)?.access_log().len();
    assert_eq!(seen(&machines.vm.netns(), machines.plain.at(PORT))?, machines.vm.ip4());
    assert_eq!(machines.mesh.agent(1)?.access_log().len(), before, "it is not the agent's business");
    Ok(())
}

#[test]
fn the_node_reaches_its_vm_past_the_capture() -> Result<()> {
    let machines = Machines::open()?;
    machines.strict()?;
    let node = machines.mesh.world.node(1);
    for (to, own) in [(machines.vm.at(PORT), IpAddr::V4(node.ip4())), (machines.vm.at6(PORT), node.ip6().into())] {
        let mut probe = Connection::established(&node.netns(), to)?;
        // Longer than the moment for which the handshake is let through.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let peer: SocketAddr = probe.ask("who").answer()?.parse()?;
        assert_eq!(peer.ip(), own);
    }
    Ok(())
}

#[test]
fn without_the_agent_a_vm_is_cut_off_from_the_mesh_and_never_plaintext() -> Result<()> {
    let mut machines = Machines::open()?;
    machines.strict()?;
    assert_eq!(seen(&machines.vm.netns(), machines.to_web[0])?, machines.vm.ip4());
    let mut open = Connection::established(&machines.vm.netns(), machines.web.at(PORT))?;
    open.ask("who").answer()?;
    machines.mesh.agent(1)?.process().kill()?;

    let served = machines.served_by_vm();
    let capture = machines.mesh.world.capture()?;
    let Machines { vm, web, plain, to_web, .. } = &machines;
    for to in [to_web[0], web.at(PORT), web.at6(PORT)] {
        let outcome = ask(&vm.netns(), to, MARKER)?;
        ensure!(!matches!(outcome, Outcome::Answered(_)), "{to}: {outcome:?}");
    }
    let outcome = open.ask(MARKER);
    ensure!(!matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    let outcome = ask(&plain.netns(), vm.at(PORT), "who")?;
    ensure!(!matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    let traffic = capture.stop()?;
    assert!(!traffic.contains(MARKER.as_bytes()), "plaintext on the link");
    assert!(traffic.streams_of(web.ip4().into(), PORT).is_empty(), "not even a handshake");
    assert_eq!(machines.served_by_vm(), served);

    machines.mesh.restart_agent(1)?;
    wait_answered(&machines.vm.netns(), machines.to_web[0])?;
    wait_answered(&machines.web.netns(), machines.vm.at(PORT))
}

#[test]
fn a_vm_comes_and_goes_untouched() -> Result<()> {
    let mut machines = Machines::closed()?;
    let (vm, web) = (machines.vm.clone(), machines.web.clone());
    let mut to_plain = Connection::established(&vm.netns(), machines.plain.at(PORT))?;
    let mut to_mesh = Connection::established(&vm.netns(), web.at(PORT))?;
    machines.mesh.start()?;
    wait_captured(machines.mesh.agent(1)?, &vm, machines.to_web[0])?;
    to_plain.ask("never went through the mesh").answer()?;
    assert_eq!(to_mesh.ask("in plaintext"), Outcome::Reset, "plaintext to the mesh ends with the enrolment");

    let mut tunnelled = Connection::established(&vm.netns(), web.at(PORT))?;
    machines.unenrol()?;
    until("the VM out of the mesh", PATIENCE, || {
        let capture = machines.mesh.world.capture().ok()?;
        seen(&vm.netns(), web.at(PORT)).ok()?;
        (!capture.stop().ok()?.streams_of(web.ip4().into(), PORT).is_empty()).then_some(())
    })?;
    assert!(matches!(tunnelled.read(), Outcome::Closed | Outcome::Reset), "what went as an enrolled pod's is cut");
    to_plain.ask("nor now").answer()?;
    let rules = run(vm.outer_netns().command("ip").args(["rule"]))?;
    assert!(!rules.contains("lookup 100"), "{rules}");

    machines.mesh.config.write("pod-shop-vm.yaml", &manifest::pod(&vm))?;
    let before = machines.mesh.agent(1)?.access_log().len();
    let agent = machines.mesh.agent(1)?;
    until("the VM in the mesh again", PATIENCE, || {
        seen(&vm.netns(), web.at(PORT)).ok()?;
        (agent.access_log().len() > before).then_some(())
    })
}

/// As when the machine is started anew: what it sends before the agent knows the new interface goes nowhere.
#[test]
fn an_interface_made_anew_is_captured_again() -> Result<()> {
    let mut machines = Machines::open()?;
    machines.strict()?;
    let capture = machines.mesh.world.capture()?;
    machines.renew_interface()?;
    let before = machines.mesh.agent(1)?.access_log().len();
    let (vm, to, agent) = (machines.vm.clone(), machines.web.at(PORT), machines.mesh.agent(1)?);
    until("the VM captured again", PATIENCE, || {
        seen(&vm.netns(), to).ok()?;
        (agent.access_log().len() > before).then_some(())
    })?;
    assert!(ask(&machines.plain.netns(), vm.at(PORT), "who")?.is_turned_down());
    assert_eq!(seen(&machines.web.netns(), vm.at(PORT))?, machines.web.ip4());
    let traffic = capture.stop()?;
    assert!(traffic.streams_of(machines.web.ip4().into(), PORT).is_empty(), "it talked plainly meanwhile");
    Ok(())
}

#[test]
fn an_interface_made_while_there_is_no_agent_leads_nowhere() -> Result<()> {
    let mut machines = Machines::open()?;
    machines.mesh.agent(1)?.process().kill()?;
    machines.renew_interface()?;
    let Machines { vm, web, plain, .. } = &machines;
    let capture = machines.mesh.world.capture()?;
    for (client, to) in [(vm, web.at(PORT)), (vm, web.at6(PORT)), (plain, vm.at(PORT)), (plain, vm.at6(PORT))] {
        let outcome = ask(&client.netns(), to, "who")?;
        ensure!(!matches!(outcome, Outcome::Answered(_)), "{} to {to}: {outcome:?}", client.name());
    }
    let traffic = capture.stop()?;
    assert!(traffic.streams_of(web.ip4().into(), PORT).is_empty(), "it talked plainly");
    assert_eq!(seen(&vm.netns(), plain.at(PORT))?, vm.ip4(), "what is not the mesh's is not held up");
    machines.mesh.restart_agent(1)?;
    wait_answered(&machines.vm.netns(), machines.to_web[0])?;
    wait_answered(&machines.web.netns(), machines.vm.at(PORT))
}
