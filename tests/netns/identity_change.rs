//! The service account of a running pod changes: what went under the old name ends, what comes goes
//! under the new one.

use anyhow::Result;

use ambit_tests::{Connection, Outcome, Pod, manifest, until};

use crate::shop::{PATIENCE, PORT, Shop, seen};

#[test]
fn a_client_with_a_new_identity_goes_on_as_such_and_its_old_connections_are_cut() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut old = Connection::established(&shop.client.netns(), shop.service)?;
    let mut of_another = Connection::established(&shop.other.netns(), shop.service)?;
    let promoted = change_account(&shop, &shop.client, "promoted")?;
    assert_eq!(old.read(), Outcome::Reset, "a cut connection must not look complete");
    let line = shop.mesh.agent(1)?.wait_access(|line| line.error().is_some())?;
    assert!(line.error().is_some_and(|error| error.contains("identity of the workload changed")), "{line:?}");
    assert_eq!(line.field("src.identity"), shop.client.identity());

    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    for node in [1, 2] {
        let line = shop.mesh.agent(node)?.wait_access(|line| line.field("src.identity") == promoted)?;
        assert_eq!(line.error(), None);
    }
    of_another.ask("still there").answer()?;
    Ok(())
}

#[test]
fn policy_knows_the_new_identity_at_once() -> Result<()> {
    let mut shop = Shop::open()?;
    let promoted = "cluster.local/ns/shop/sa/promoted";
    shop.mesh.apply("policy.yaml", &manifest::policy("shop", "only", "web", "ALLOW", &[promoted]), "only")?;
    assert_eq!(ambit_tests::ask(&shop.client.netns(), shop.service, "who")?, Outcome::Reset);
    change_account(&shop, &shop.client, "promoted")?;
    until("the promoted client served", PATIENCE, || seen(&shop.client.netns(), shop.service).ok())?;
    Ok(())
}

#[test]
fn a_server_with_a_new_identity_is_still_found() -> Result<()> {
    let mut shop = Shop::open()?;
    seen(&shop.client.netns(), shop.service)?;
    let renamed = change_account(&shop, &shop.web, "renamed")?;
    until("an answer under the new identity", PATIENCE, || {
        seen(&shop.client.netns(), shop.web.at(PORT)).ok()?;
        let log = shop.mesh.agent(1).ok()?.access_log();
        log.iter().any(|line| line.field("dst.identity") == renamed && line.error().is_none()).then_some(())
    })
}

/// Edits the pod's manifest; gives its new SPIFFE id.
fn change_account(shop: &Shop, pod: &Pod, account: &str) -> Result<String> {
    let field = |account: &str| format!(r#""serviceAccountName":"{account}""#);
    let changed = manifest::pod(pod).replace(&field(pod.account()), &field(account));
    shop.mesh.config.write(&format!("pod-shop-{}.yaml", pod.name()), &changed)?;
    Ok(format!("spiffe://cluster.local/ns/shop/sa/{account}"))
}
