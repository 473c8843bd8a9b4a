//! Objects that mean nothing: refused when they are written, and where nobody could be asked, not put in force and
//! told so.

use anyhow::Result;
use serde_json::Value;

use ambit_tests::cluster::{Namespace, PATIENCE, Pod, client, object, policy, server};
use ambit_tests::until;

use crate::mesh;

/// A client and a server in a namespace.
fn shop(name: &str) -> Result<(Namespace, Pod)> {
    mesh::installed()?;
    let shop = Namespace::meshed(name)?;
    let [client, web] = shop.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    for pod in [&client, &web] {
        pod.wait_enrolled(true)?;
    }
    Ok((shop, client))
}

/// A policy with a pattern that means nothing, which no schema can tell.
fn bad(name: &str) -> String {
    policy(name, "web", "ALLOW", &["'a*b'"])
}

fn assert_refused(shop: &Namespace, object: &str, reason: &str) {
    let refused = shop.apply(object).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains(reason), "{reason}: {refused:?}");
}

/// Where the control plane says what is wrong with [`bad`].
const REASON: &str = "spec.rules[0].from[0].source.principals[0]";

#[test]
fn a_bad_object_is_refused() -> Result<()> {
    let (shop, client) = shop("validated")?;
    // By the schema, by a rule in it, by the control plane.
    for (object, reason) in [
        (policy("bad", "web", "PERMIT", &["a"]), "spec.action"),
        (policy("bad", "web", "CUSTOM", &["a"]), "provider"),
        (bad("bad"), REASON),
    ] {
        assert_refused(&shop, &object, reason);
    }
    client.wait_answered("http://web/debug").map(drop)
}

#[test]
fn the_webhook_fails_open_on_its_own_outage_and_the_status_says_what_it_would_have() -> Result<()> {
    let (shop, client) = shop("validated-late")?;
    assert_refused(&shop, &bad("before"), REASON);
    // A control plane that is away keeps nobody from writing.
    mesh::control_planes(0)?;
    let stored = shop.apply(&bad("meanwhile"));
    mesh::control_planes(2)?;
    stored?;
    let said = until("a status", PATIENCE, || {
        let policy = object(&["--namespace", shop.name(), "authorizationpolicy", "meanwhile"]).ok()?;
        policy.pointer("/status/conditions/0").cloned()
    })?;
    let text = |field: &str| said.get(field).and_then(Value::as_str).unwrap_or_default();
    assert_eq!((text("type"), text("status"), text("reason")), ("Accepted", "False", "Invalid"), "{said}");
    assert!(text("message").contains("not in force"), "{said}");
    client.wait_answered("http://web/debug")?;
    // It is back, and closed again as soon as the API server finds it.
    until("a refusal", PATIENCE, || {
        let refused = shop.apply(&bad("after")).err()?.to_string();
        refused.contains(REASON).then_some(())
    })
}
