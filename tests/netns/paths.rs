//! Who reaches whom, on which way, and as whom.

use anyhow::Result;

use ambit_tests::{Behaviour, PodSpec, Server, ask, manifest};

use crate::shop::{PORT, Shop, seen, wait_turned_down};

const MARKER: &str = "a-secret-of-the-application";

#[test]
fn captured_to_captured_on_two_nodes() -> Result<()> {
    let mut shop = Shop::open()?;
    let _echo = Server::start(&shop.web.netns(), 8081, Behaviour::Echo)?;
    let capture = shop.mesh.world.capture()?;

    for to in [shop.service, shop.web.at(PORT)] {
        assert_eq!(seen(&shop.client.netns(), to)?, shop.client.ip4(), "the server sees the client's own address");
    }
    assert_eq!(ask(&shop.client.netns(), shop.web.at(8081), MARKER)?.answer()?, MARKER);

    let traffic = capture.stop()?;
    traffic.only_tunnels()?;
    assert!(!traffic.contains(MARKER.as_bytes()), "the payload was read on the link");
    for node in [1, 2] {
        let line = shop.mesh.agent(node)?.wait_access(|line| line.field("dst.workload") == "web")?;
        assert_eq!(line.is_outbound(), node == 1);
        assert_eq!(line.field("src.identity"), shop.client.identity());
        assert_eq!(line.field("dst.identity"), shop.web.identity());
        assert_eq!(line.error(), None);
    }
    Ok(())
}

#[test]
fn captured_to_captured_on_one_node() -> Result<()> {
    let mut shop = Shop::closed()?;
    let local = shop.mesh.pod(PodSpec::new("shop", "web-local", 1))?;
    let [service, _] = shop.mesh.service("web-local", PORT)?;
    let _server = Server::start(&local.netns(), PORT, Behaviour::Whoami)?;
    shop.mesh.start()?;
    for to in [service, local.at(PORT), service, local.at(PORT)] {
        assert_eq!(seen(&shop.client.netns(), to)?, shop.client.ip4());
    }
    let line = shop.mesh.agent(1)?.wait_access(|line| line.field("dst.workload") == "web-local")?;
    assert_eq!(line.field("src.identity"), shop.client.identity());
    assert_eq!(line.field("dst.identity"), local.identity());
    Ok(())
}

#[test]
fn captured_to_uncaptured_goes_out_as_it_is() -> Result<()> {
    let shop = Shop::open()?;
    let _server = Server::start(&shop.plain.netns(), PORT, Behaviour::Whoami)?;
    assert_eq!(seen(&shop.client.netns(), shop.plain.at(PORT))?, shop.client.ip4());
    assert_eq!(seen(&shop.web.netns(), shop.plain.at(PORT))?, shop.web.ip4());
    Ok(())
}

#[test]
fn uncaptured_to_captured_passes_where_permissive() -> Result<()> {
    let mut shop = Shop::open()?;
    assert_eq!(seen(&shop.plain.netns(), shop.web.at(PORT))?, shop.plain.ip4());
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("dst.workload") == "web")?;
    assert_eq!(line.field("src.workload"), "plain");
    assert_eq!(line.field("src.identity"), "", "nobody vouches for a plain client");
    Ok(())
}

#[test]
fn uncaptured_to_captured_is_turned_down_where_strict() -> Result<()> {
    let shop = Shop::open()?;
    shop.mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    wait_turned_down(&shop.plain.netns(), shop.web.at(PORT))?;
    let served = shop.server.peers().len();
    assert!(ask(&shop.plain.netns(), shop.web.at(PORT), "who")?.is_turned_down());
    assert_eq!(shop.server.peers().len(), served, "a denied client never reaches the server");
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn a_pod_reaches_itself() -> Result<()> {
    let shop = Shop::open()?;
    for to in [shop.web.at(PORT), shop.service] {
        assert_eq!(seen(&shop.web.netns(), to)?, shop.web.ip4());
    }
    Ok(())
}

#[test]
fn a_server_may_speak_first() -> Result<()> {
    let shop = Shop::open()?;
    let _server = Server::start(&shop.web.netns(), 3306, Behaviour::Greet("welcome".to_owned()))?;
    let mut connection = ambit_tests::Connection::open(&shop.client.netns(), shop.web.at(3306))?
        .map_err(|outcome| anyhow::anyhow!("{outcome:?}"))?;
    assert_eq!(connection.read().answer()?, "welcome");
    assert_eq!(connection.peer()?, shop.web.at(3306), "the application sees the peer it asked for");
    Ok(())
}

#[test]
fn one_side_may_end_before_the_other() -> Result<()> {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    let shop = Shop::open()?;
    let listener = shop.web.netns().run(|| TcpListener::bind("0.0.0.0:9000"))??;
    let sum = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        stream.write_all(format!("{}\n", all.len()).as_bytes())
    });
    let mut connection = ambit_tests::Connection::open(&shop.client.netns(), shop.web.at(9000))?
        .map_err(|outcome| anyhow::anyhow!("{outcome:?}"))?;
    connection.stream().write_all(&vec![7; 3_000_000])?;
    connection.finish()?;
    assert_eq!(connection.read().answer()?, "3000000");
    sum.join().unwrap()?;
    Ok(())
}
