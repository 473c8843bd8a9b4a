//! The harness itself, without an agent: what the other tests take for granted.

use anyhow::{Result, ensure};

use ambit_tests::{Behaviour, Outcome, PodSpec, Server, World, ask};

#[test]
fn pods_talk_plainly_with_their_own_addresses_in_both_families() -> Result<()> {
    let mut world = World::new()?;
    let client = world.pod(PodSpec::new("shop", "client", 1))?;
    for node in [1, 2] {
        let web = world.pod(PodSpec::new("shop", &format!("web-{node}"), node))?;
        let _server = Server::start(&web.netns(), 8080, Behaviour::Whoami)?;
        for (to, own) in [(web.at(8080), client.at(0)), (web.at6(8080), client.at6(0))] {
            let seen = ask(&client.netns(), to, "who")?.answer()?;
            ensure!(seen.starts_with(&own.ip().to_string()) || seen.contains(&format!("[{}]", own.ip())), "{seen}");
        }
        assert_eq!(ask(&client.netns(), web.at(8081), "who")?, Outcome::Refused);
    }
    Ok(())
}

#[test]
fn the_link_shows_what_passes() -> Result<()> {
    let mut world = World::new()?;
    let client = world.pod(PodSpec::new("shop", "client", 1))?;
    let web = world.pod(PodSpec::new("shop", "web", 2))?;
    let _server = Server::start(&web.netns(), 8080, Behaviour::Echo)?;
    let capture = world.capture()?;
    assert_eq!(ask(&client.netns(), web.at(8080), "a-marker")?.answer()?, "a-marker");
    let traffic = capture.stop()?;
    assert!(traffic.contains(b"a-marker"));
    assert!(!traffic.contains(b"another-marker"));
    let error = traffic.only_tunnels().unwrap_err().to_string();
    assert!(error.starts_with("TCP ") && error.contains(":8080"), "{error}");
    Ok(())
}

#[test]
fn nothing_is_left_of_a_world() -> Result<()> {
    let mut world = World::new()?;
    let pod = world.pod(PodSpec::new("shop", "client", 1))?;
    let (netns, directory) = (pod.netns(), world.directory().to_owned());
    assert!(netns.path().exists() && directory.exists());
    drop(world);
    assert!(!netns.path().exists() && !directory.exists());
    Ok(())
}

#[test]
fn worlds_do_not_meet() -> Result<()> {
    let mut worlds = [World::new()?, World::new()?];
    for (number, world) in worlds.iter_mut().enumerate() {
        let pod = world.pod(PodSpec::new("shop", "web", 1))?;
        let _server = Server::start(&pod.netns(), 80, Behaviour::Say(number.to_string()))?;
        assert_eq!(ask(&world.node(1).netns(), pod.at(80), "who")?.answer()?, number.to_string());
    }
    Ok(())
}
