//! Authorization: who may talk, and what happens to those who may no longer.

use anyhow::Result;

use ambit_tests::{Behaviour, Connection, Outcome, PodSpec, Server, ask, manifest};

use crate::shop::{PORT, Shop, seen, wait_answered, wait_turned_down};

const CLIENT: &str = "cluster.local/ns/shop/sa/client";
const OTHER: &str = "cluster.local/ns/shop/sa/other";

#[test]
fn an_allow_policy_lets_only_its_principals_in() -> Result<()> {
    let mut shop = Shop::open()?;
    shop.mesh.apply(
        "policy.yaml",
        &manifest::policy("shop", "only-client", "web", "ALLOW", &[CLIENT]),
        "only-client",
    )?;
    let served = shop.server.peers().len();
    for stranger in [&shop.other, &shop.plain] {
        assert!(ask(&stranger.netns(), shop.web.at(PORT), "who")?.is_turned_down(), "{}", stranger.name());
    }
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    assert_eq!(shop.server.peers().len(), served, "a denied client never reaches the server");
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("src.workload") == "other")?;
    assert!(line.error().is_some_and(|error| error.contains("only-client")), "the log names the policy: {line:?}");
    Ok(())
}

#[test]
fn a_deny_policy_keeps_only_its_principals_out() -> Result<()> {
    let mut shop = Shop::open()?;
    shop.mesh.apply("policy.yaml", &manifest::policy("shop", "not-other", "web", "DENY", &[OTHER]), "not-other")?;
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    for friend in [&shop.client, &shop.plain] {
        assert_eq!(seen(&friend.netns(), shop.web.at(PORT))?, friend.ip4());
    }
    shop.mesh.config.remove("policy.yaml")?;
    wait_answered(&shop.other.netns(), shop.service)
}

#[test]
fn an_empty_allow_policy_denies_all() -> Result<()> {
    let mut shop = Shop::open()?;
    let nothing = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                   metadata: {name: nothing, namespace: shop}\nspec: {}\n";
    shop.mesh.apply("policy.yaml", nothing, "nothing")?;
    for client in [&shop.client, &shop.other, &shop.plain] {
        assert!(ask(&client.netns(), shop.web.at(PORT), "who")?.is_turned_down(), "{}", client.name());
    }
    Ok(())
}

#[test]
fn a_dry_run_policy_only_reports() -> Result<()> {
    let mut shop = Shop::open()?;
    let policy = manifest::policy("shop", "would-deny", "web", "DENY", &[CLIENT])
        .replace("metadata:\n", "metadata:\n  annotations: {istio.io/dry-run: \"true\"}\n");
    shop.mesh.apply("policy.yaml", &policy, "would-deny")?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn a_new_policy_cuts_the_open_connections_it_denies_and_no_others() -> Result<()> {
    let shop = Shop::open()?;
    let mut denied = Connection::established(&shop.client.netns(), shop.service)?;
    let mut allowed = Connection::established(&shop.other.netns(), shop.service)?;
    let mut denied_plain = Connection::established(&shop.plain.netns(), shop.web.at(PORT))?;
    shop.mesh
        .config
        .write_in_place("policy.yaml", &manifest::policy("shop", "only-other", "web", "ALLOW", &[OTHER]))?;
    for connection in [&mut denied, &mut denied_plain] {
        let end = connection.read();
        assert!(matches!(end, Outcome::Closed | Outcome::Reset), "{end:?}");
    }
    wait_turned_down(&shop.client.netns(), shop.service)?;
    allowed.ask("still there").answer()?;
    Ok(())
}

#[test]
fn policy_holds_on_one_node_too_and_cuts_there() -> Result<()> {
    let mut shop = Shop::closed()?;
    let local = shop.mesh.pod(PodSpec::new("shop", "web-local", 1))?;
    let _server = Server::start(&local.netns(), PORT, Behaviour::Whoami)?;
    shop.mesh.start()?;
    // The second connection of a pair may take a faster way than the first.
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Connection::established(&shop.client.netns(), local.at(PORT))?);
    }
    let policy = manifest::policy("shop", "not-client", "web-local", "DENY", &[CLIENT]);
    shop.mesh.apply("policy.yaml", &policy, "not-client")?;
    for mut connection in open {
        let end = connection.read();
        assert!(matches!(end, Outcome::Closed | Outcome::Reset), "{end:?}");
    }
    assert!(ask(&shop.client.netns(), local.at(PORT), "who")?.is_turned_down());
    assert_eq!(seen(&shop.other.netns(), local.at(PORT))?, shop.other.ip4());
    Ok(())
}

#[test]
fn a_reused_address_does_not_carry_the_old_identity() -> Result<()> {
    let mut shop = Shop::open()?;
    shop.mesh.apply(
        "policy.yaml",
        &manifest::policy("shop", "only-client", "web", "ALLOW", &[CLIENT]),
        "only-client",
    )?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    shop.mesh.delete(&shop.client)?;
    let thief = shop.mesh.pod(PodSpec::new("shop", "thief", 1).index(shop.client.index()))?;
    assert_eq!(thief.ip4(), shop.client.ip4());
    crate::shop::wait_captured(shop.mesh.agent(1)?, &thief, shop.service)?;
    assert!(ask(&thief.netns(), shop.service, "who")?.is_turned_down());
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("src.identity") == thief.identity())?;
    assert!(line.error().is_some());
    Ok(())
}
