//! ServiceEntries whose endpoints are known by host names.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use ambit_tests::{AccessLine, Behaviour, NameServer, Pod, PodSpec, Server, ask, until};

use crate::shop::{PATIENCE, PORT, Shop};

/// What an entry's clients ask for.
const API: ([u8; 4], u16) = ([240, 0, 0, 9], 80);

fn entry(more: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: api, namespace: shop}}\n\
         spec: {{hosts: [api.example], addresses: [240.0.0.9], resolution: DNS, \
         ports: [{{number: 80, name: tcp, targetPort: {PORT}}}], {more}}}\n"
    )
}

/// A mesh, two pods outside of it that say who they are, and a name server for the agents.
struct Outside {
    shop: Shop,
    one: IpAddr,
    two: IpAddr,
    names: NameServer,
    _servers: [Server; 2],
}

impl Outside {
    fn open(entry: &str, known: &[&str]) -> Result<Self> {
        let mut shop = Shop::closed()?;
        let mut outside = |name: &str| -> Result<(Pod, Server)> {
            let pod = shop.mesh.pod(PodSpec::new("outside", name, 2))?;
            let server = Server::start(&pod.netns(), PORT, Behaviour::Say(name.to_owned()))?;
            Ok((pod, server))
        };
        let ((one, first), (two, second)) = (outside("one")?, outside("two")?);
        let node = shop.mesh.world.node(1);
        let names = NameServer::start(&node.netns(), node.ip4().into(), shop.mesh.world.directory())?;
        let (one, two) = (one.ip4().into(), two.ip4().into());
        names.say(&known.iter().map(|name| (*name, one)).collect::<Vec<_>>())?;
        shop.mesh.config.write("entry.yaml", entry)?;
        shop.mesh.start_resolving_by(&names)?;
        Ok(Self { shop, one, two, names, _servers: [first, second] })
    }

    fn ask(&self) -> Result<String> {
        ask(&self.shop.client.netns(), SocketAddr::from(API), "who")?.answer()
    }

    fn wait(&self, expected: &str) -> Result<()> {
        until(expected, PATIENCE, || (self.ask().ok()? == expected).then_some(()))
    }

    /// Asks until it is refused with this reason.
    fn wait_refused(&mut self, reason: &str) -> Result<()> {
        let from = self.shop.client.netns();
        let agent = self.shop.mesh.agent(1)?;
        let is_told = |line: &AccessLine| line.error().is_some_and(|error| error.contains(reason));
        until(reason, PATIENCE, || {
            let refused = ask(&from, SocketAddr::from(API), "who").is_ok_and(|outcome| outcome.is_turned_down());
            (refused && agent.access_log().iter().any(is_told)).then_some(())
        })
    }
}

#[test]
fn a_host_is_where_its_name_says_as_long_as_nobody_says_otherwise() -> Result<()> {
    let mut outside = Outside::open(&entry(""), &["api"])?;
    assert_eq!(outside.ask()?, "one", "looked up before the agent was ready");
    let line = outside.shop.mesh.agent(1)?.wait_access(|line| line.field("dst.service") == "api.example")?;
    assert_eq!(line.field("dst.addr"), SocketAddr::new(outside.one, PORT).to_string(), "{line:?}");

    outside.names.say(&[("api", outside.two)])?;
    outside.wait("two")?;
    outside.names.say(&[("api", outside.one), ("api", outside.two)])?;
    outside.wait("one")?;
    outside.wait("two")?;

    outside.names.end();
    let agent = outside.shop.mesh.agent(1)?;
    until("a look-up in vain", PATIENCE, || agent.log().contains("cannot look up").then_some(()))?;
    outside.wait("one")?;

    outside.names.begin()?;
    outside.names.say(&[])?;
    outside.wait_refused("service shop/api.example: no address is known of api.example: there is no such name")?;
    outside.names.say(&[("api", outside.two)])?;
    outside.wait("two")
}

#[test]
fn a_host_that_nobody_could_look_up_yet_is_refused_with_that_reason() -> Result<()> {
    let endpoint = "endpoints: [{address: back.example}], exportTo: [.]";
    let mut outside = Outside::open(&entry(endpoint), &["back"])?;
    outside.wait("one")?;
    outside.shop.mesh.config.write("entry.yaml", &entry(&endpoint.replace("back", "other")))?;
    outside.wait_refused("no address is known of other.example: there is no such name")?;
    outside.names.end();
    outside.shop.mesh.config.write("entry.yaml", &entry(&endpoint.replace("back", "third")))?;
    outside.wait_refused("no address is known of third.example: nobody could look it up")?;
    outside.names.begin()?;
    outside.names.say(&[("third", outside.two)])?;
    outside.wait("two")?;

    outside
        .shop
        .mesh
        .config
        .write("entry.yaml", &entry(&endpoint.replace("back", "third").replace("[.]", "[outside]")))?;
    outside.wait_refused("service shop/api.example is not exported to namespace shop")
}

#[test]
fn an_entry_without_resolution_is_a_name_for_what_is_there() -> Result<()> {
    let outside = Outside::open(&entry(""), &["api"])?;
    let node = outside.shop.mesh.world.node(2);
    let _server = Server::start(&node.netns(), API.1, Behaviour::Say("node".to_owned()))?;
    let (from, to) = (outside.shop.client.netns(), SocketAddr::from((node.ip4(), API.1)));
    let entry = entry("").replace("240.0.0.9", &to.ip().to_string());
    for (resolution, expected) in [("DNS", "one"), ("NONE", "node")] {
        outside.shop.mesh.config.write("entry.yaml", &entry.replace("DNS", resolution))?;
        let is_there = || (ask(&from, to, "who").ok()?.answer().ok()? == expected).then_some(());
        until(expected, PATIENCE, is_there)?;
    }
    Ok(())
}
