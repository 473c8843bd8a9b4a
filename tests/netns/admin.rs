//! The operator's page: what it shows, what it changes, and who can reach it.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use ambit_tests::{Outcome, PodSpec, knock, manifest, until};

use crate::shop::{PATIENCE, Shop};

#[test]
fn the_dump_shows_all_that_is_in_force_and_no_key() -> Result<()> {
    let mut shop = Shop::open()?;
    let policy = manifest::policy("shop", "not-other", "web", "DENY", &["cluster.local/ns/shop/sa/other"]);
    shop.mesh.apply("policy.yaml", &policy, "not-other")?;
    for (node, local) in [(1, &shop.client), (2, &shop.web)] {
        let dump = shop.mesh.agent(node)?.config_dump()?;
        let named = |list: &str, name: &str| {
            dump[list].as_array().is_some_and(|all| all.iter().any(|object| object["name"] == name))
        };
        for name in ["client", "other", "web", "plain"] {
            assert!(named("workloads", name), "{name} on node {node}");
        }
        assert!(named("services", "web") && named("policies", "not-other"), "{dump:#}");
        assert_eq!(dump["pods"][format!("Kubernetes//Pod/shop/{}", local.name())]["state"], "enrolled");
        let certificates = dump["certificates"]["certificates"].as_array().cloned().unwrap_or_default();
        let own = certificates.iter().find(|certificate| certificate["identity"] == local.identity().as_str());
        let own = own.unwrap_or_else(|| panic!("no certificate of {} in {certificates:?}", local.identity()));
        assert_eq!(own["state"], "valid");
        assert!(own["chain"].as_str().is_some_and(|chain| chain.contains("BEGIN CERTIFICATE")), "{own}");
        assert!(!dump.to_string().contains("PRIVATE"), "a key is shown");
    }
    Ok(())
}

#[test]
fn a_node_holds_certificates_of_its_own_pods_only() -> Result<()> {
    let mut shop = Shop::open()?;
    let dump = shop.mesh.agent(1)?.config_dump()?["certificates"]["certificates"].clone();
    let held: Vec<_> = dump.as_array().into_iter().flatten().map(|it| it["identity"].clone()).collect();
    assert_eq!(held, [shop.client.identity(), shop.other.identity()]);
    Ok(())
}

#[test]
fn the_log_level_changes_live() -> Result<()> {
    // Said at each issue, and not for operators' eyes by default.
    const SAID: &str = "certificate issued";
    let mut shop = Shop::open()?;
    let agent = shop.mesh.agent(1)?;
    assert!(!agent.log().contains(SAID));
    let (status, answer) = agent.admin("POST", "/logging?level=info,ambit_identity=debug")?;
    assert!(status == 200 && answer.contains("ambit_identity=debug"), "{status} {answer}");
    assert!(agent.admin("GET", "/logging")?.1.contains("ambit_identity=debug"));
    shop.mesh.pod(PodSpec::new("shop", "late", 1))?;
    shop.mesh.agent(1)?.wait_log(SAID)?;

    let agent = shop.mesh.agent(1)?;
    let (status, answer) = agent.admin("POST", "/logging?level=%5Bnonsense")?;
    assert_eq!(status, 400, "{answer}");
    assert!(agent.admin("GET", "/logging")?.1.contains("ambit_identity=debug"), "what was in force stays");
    Ok(())
}

#[test]
fn the_page_is_reached_from_its_own_node_only() -> Result<()> {
    let mut shop = Shop::open()?;
    let [one, two] = shop.mesh.world.nodes().clone();
    let strangers = [shop.client.netns(), shop.other.netns(), shop.web.netns(), shop.plain.netns(), two.netns()];
    let addresses: [IpAddr; 2] = [one.ip4().into(), one.ip6().into()];
    for from in &strangers {
        for ip in addresses {
            let outcome = knock(from, SocketAddr::new(ip, 15000), "GET /config_dump HTTP/1.0\r\n\r")?;
            assert_eq!(outcome, Outcome::Refused, "{} from {}", ip, from.path().display());
        }
    }
    assert_eq!(shop.mesh.agent(1)?.admin("GET", "/config_dump")?.0, 200);
    Ok(())
}

#[test]
fn metrics_and_readiness_are_reached_from_elsewhere() -> Result<()> {
    let shop = Shop::open()?;
    let [one, two] = shop.mesh.world.nodes();
    for port in [15020, 15021] {
        until(&format!("an answer on port {port}"), PATIENCE, || {
            let outcome = knock(&two.netns(), SocketAddr::new(one.ip4().into(), port), "GET / HTTP/1.0\r\n\r").ok()?;
            (outcome == Outcome::Closed).then_some(())
        })?;
    }
    Ok(())
}
