//! Pods come into the mesh and leave it, while they run.

use anyhow::Result;

use ambit_tests::{Behaviour, Connection, Mesh, Netns, Outcome, PodSpec, Server, manifest, run, until};

use crate::shop::{PATIENCE, PORT, Shop, seen, wait_captured};

#[test]
fn a_label_on_the_namespace_enrols_its_pods_untouched() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut before = Connection::established(&shop.plain.netns(), shop.web.at(PORT))?;
    shop.mesh.config.write("namespace-outside.yaml", &manifest::namespace("outside", true))?;
    wait_captured(shop.mesh.agent(2)?, &shop.plain, shop.service)?;
    shop.mesh.agent(2)?.wait_access(|line| line.field("src.identity") == shop.plain.identity())?;
    before.ask("still there").answer()?;
    Ok(())
}

#[test]
fn a_pod_that_leaves_the_mesh_talks_plainly_again_and_nobody_listens_in_it() -> Result<()> {
    let mut shop = Shop::closed()?;
    let server = Server::start(&shop.plain.netns(), PORT, Behaviour::Whoami)?;
    let before = listeners(&shop.client.netns())?;
    shop.mesh.start()?;
    assert_eq!(seen(&shop.client.netns(), shop.web.at(PORT))?, shop.client.ip4());
    let mut tunnelled = Connection::established(&shop.client.netns(), shop.web.at(PORT))?;
    let mut direct = Connection::established(&shop.client.netns(), shop.plain.at(PORT))?;

    let out = manifest::pod(&shop.client).replace(r#""app":"#, r#""istio.io/dataplane-mode":"none","app":"#);
    shop.mesh.config.write("pod-shop-client.yaml", &out)?;
    until("the agent's listeners gone", PATIENCE, || (listeners(&shop.client.netns()).ok()? == before).then_some(()))?;

    let capture = shop.mesh.world.capture()?;
    assert_eq!(seen(&shop.client.netns(), shop.web.at(PORT))?, shop.client.ip4());
    let traffic = capture.stop()?;
    assert!(!traffic.streams_of(shop.web.ip4().into(), PORT).is_empty(), "it talks plainly");
    assert!(matches!(tunnelled.read(), Outcome::Closed | Outcome::Reset), "what went as an enrolled pod's is cut");
    direct.ask("never went through the mesh").answer()?;
    drop(server);
    Ok(())
}

#[test]
fn a_pod_that_cannot_be_enrolled_is_named_and_holds_up_no_other() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let lost = PodSpec::new("shop", "lost", 1).annotation("ambit.io/netns", "/run/netns/not-there");
    let lost = mesh.pod(lost)?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let _server = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
    mesh.start_agent(2, &[])?.wait_ready()?;
    let agent = mesh.start_agent(1, &[])?;
    let why = until("readiness that names the pod", PATIENCE, || {
        let (status, body) = agent.readiness().ok()?;
        (status == 503 && body.contains("lost")).then_some(body)
    })?;
    assert!(why.contains("/run/netns/not-there"), "{why}");
    wait_captured(agent, &client, web.at(PORT))?;

    let found = manifest::pod(&lost).replace("/run/netns/not-there", &lost.netns().path().display().to_string());
    mesh.config.write("pod-shop-lost.yaml", &found)?;
    mesh.agent(1)?.wait_ready()
}

#[test]
fn a_pod_deleted_and_made_again_is_enrolled_again() -> Result<()> {
    let mut shop = Shop::open()?;
    // With another address, then with the same one: the manifest is the same text again.
    for index in [None, Some(shop.client.index()), Some(shop.client.index())] {
        shop.mesh.delete(&shop.client)?;
        let spec = PodSpec::new("shop", "client", 1);
        shop.client = shop.mesh.pod(index.into_iter().fold(spec, PodSpec::index))?;
        let agent = shop.mesh.agent(1)?;
        let before = agent.access_log().len();
        until("the new pod captured", PATIENCE, || {
            seen(&shop.client.netns(), shop.service).ok()?;
            (agent.access_log().len() > before).then_some(())
        })?;
    }
    Ok(())
}

/// What listens in a namespace.
fn listeners(netns: &Netns) -> Result<String> {
    run(netns.command("ss").args(["--no-header", "--numeric", "--listening", "--tcp"]))
}
