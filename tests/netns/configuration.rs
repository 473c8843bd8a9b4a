//! The folder of manifests: what is wrong in it is reported, and harms nothing else.

use anyhow::Result;

use ambit_tests::{ask, manifest};

use crate::shop::{Shop, seen, wait_answered, wait_turned_down};

const CLIENT: &str = "cluster.local/ns/shop/sa/client";
const OTHER: &str = "cluster.local/ns/shop/sa/other";

#[test]
fn a_broken_file_leaves_its_last_valid_version_and_all_others_in_force() -> Result<()> {
    let mut shop = Shop::open()?;
    shop.mesh.apply("first.yaml", &manifest::policy("shop", "not-other", "web", "DENY", &[OTHER]), "not-other")?;
    shop.mesh.config.write_in_place("first.yaml", "kind: [AuthorizationPolicy\n  never: closed: \"")?;
    shop.mesh.agent(2)?.wait_log("first.yaml")?;
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    shop.mesh.config.write("second.yaml", &manifest::policy("shop", "not-client", "web", "DENY", &[CLIENT]))?;
    wait_turned_down(&shop.client.netns(), shop.service)?;
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    Ok(())
}

#[test]
fn a_policy_with_an_unknown_field_is_named_and_does_not_widen_access() -> Result<()> {
    let mut shop = Shop::open()?;
    let good = manifest::policy("shop", "only-client", "web", "ALLOW", &[CLIENT]);
    shop.mesh.apply("policy.yaml", &good, "only-client")?;
    let bad = good.replace("principals:", "principalz:").replace("sa/client", "sa/other");
    shop.mesh.config.write("policy.yaml", &bad)?;
    shop.mesh.agent(2)?.wait_log("principalz")?;
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn a_removed_file_takes_its_objects_with_it() -> Result<()> {
    let mut shop = Shop::open()?;
    shop.mesh.apply("policy.yaml", &manifest::policy("shop", "not-other", "web", "DENY", &[OTHER]), "not-other")?;
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    shop.mesh.config.remove("policy.yaml")?;
    wait_answered(&shop.other.netns(), shop.service)
}
