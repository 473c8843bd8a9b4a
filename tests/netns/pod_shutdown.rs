//! Pods that end while others talk to them.

use anyhow::Result;

use ambit_tests::{Behaviour, Connection, Outcome, PodSpec, Server, ask, manifest, until};

use crate::shop::{PATIENCE, PORT, Shop, wait_turned_down};

#[test]
fn a_pod_that_is_going_keeps_its_connections_and_is_given_no_new_ones() -> Result<()> {
    let mut shop = Shop::closed()?;
    let [service, _] = shop.mesh.service("pair", PORT)?;
    let [going, staying] = ["going", "staying"];
    let mut servers = Vec::new();
    let mut pods = Vec::new();
    for name in [going, staying] {
        let pod = shop.mesh.pod(PodSpec::new("shop", name, 2).label("app", "pair"))?;
        servers.push(Server::start(&pod.netns(), PORT, Behaviour::Say(name.to_owned()))?);
        pods.push(pod);
    }
    shop.mesh.start()?;
    let mut open = Connection::established(&shop.client.netns(), pods[0].at(PORT))?;
    let deleted = manifest::pod(&pods[0])
        .replace(r#""name":"going""#, r#""name":"going","deletionTimestamp":"2026-01-01T00:00:00Z""#);
    shop.mesh.config.write("pod-shop-going.yaml", &deleted)?;
    until("a workload that is not healthy", PATIENCE, || {
        let dump = shop.mesh.agent(1).ok()?.config_dump().ok()?;
        let own = dump["workloads"].as_array()?.iter().find(|workload| workload["name"] == going)?.clone();
        (own["healthy"] == false).then_some(())
    })?;
    for _ in 0..50 {
        assert_eq!(ask(&shop.client.netns(), service, "who")?, Outcome::Answered(staying.to_owned()));
    }
    assert_eq!(open.ask("still there"), Outcome::Answered(going.to_owned()));
    Ok(())
}

#[test]
fn a_pod_that_is_gone_takes_its_connections_with_it() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut to_it = Connection::established(&shop.client.netns(), shop.service)?;
    shop.mesh.config.remove("pod-shop-web.yaml")?;
    assert_eq!(to_it.read(), Outcome::Reset);
    shop.mesh.world.delete(&shop.web)?;
    wait_turned_down(&shop.client.netns(), shop.service)
}
