//! An application that listens where the mesh wants to, when its pod is to be enrolled.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use ambit_tests::{Behaviour, Mesh, Outcome, PodSpec, Server, ask, until};

use crate::shop::{PATIENCE, PORT, seen, wait_captured};

#[test]
fn a_pod_whose_ports_are_taken_stays_out_with_the_reason_and_comes_in_when_they_are_free() -> Result<()> {
    for port in [15001, 15006, 15008] {
        let mut mesh = Mesh::new()?;
        let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
        let taken = mesh.pod(PodSpec::new("shop", "taken", 2))?;
        let application = Server::start(&taken.netns(), port, Behaviour::Greet("not yours".to_owned()))?;
        let server = Server::start(&taken.netns(), PORT, Behaviour::Whoami)?;
        mesh.start_agent(1, &[])?.wait_ready()?;
        let agent = mesh.start_agent(2, &[])?;
        let why = until("readiness that names the pod", PATIENCE, || {
            let (status, body) = agent.readiness().ok()?;
            (status == 503 && body.contains("shop/taken")).then_some(body)
        })?;
        assert!(why.contains(&format!(":{port}")), "{why}");

        let capture = mesh.world.capture()?;
        let outcome = ask(&client.netns(), taken.at(PORT), "never-in-the-clear")?;
        assert!(outcome.is_turned_down(), "{port}: {outcome:?}");
        assert!(!capture.stop()?.contains(b"never-in-the-clear"), "{port}");
        assert!(server.peers().is_empty(), "{port}");

        drop(application);
        mesh.agent(2)?.wait_ready()?;
        assert_eq!(seen(&client.netns(), taken.at(PORT))?, client.ip4());
        wait_captured(mesh.agent(2)?, &client, taken.at(PORT))?;
    }
    Ok(())
}

#[test]
fn a_port_of_the_mesh_on_loopback_is_the_applications_own() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let _web = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
    let on_loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 15001);
    let _own = Server::start_at(&client.netns(), on_loopback, Behaviour::Say("own".to_owned()))?;
    mesh.start()?;
    assert_eq!(seen(&client.netns(), web.at(PORT))?, client.ip4());
    assert_eq!(ask(&client.netns(), on_loopback, "who")?, Outcome::Answered("own".to_owned()));
    mesh.agent(1)?.wait_access(|line| line.field("src.workload") == "client").map(drop)
}

#[test]
fn an_application_cannot_take_a_port_of_the_mesh_from_an_enrolled_pod() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let _web = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
    mesh.start()?;
    for port in [15001, 15006, 15008] {
        let own = SocketAddr::new(web.ip4().into(), port);
        assert!(Server::start_at(&web.netns(), own, Behaviour::Echo).is_err(), "{port}");
    }
    assert_eq!(seen(&client.netns(), web.at(PORT))?, client.ip4());
    Ok(())
}
