//! Objects that mean nothing: refused when they are written, and where nobody could be asked, not put in force and
//! told so.

use anyhow::Result;
use serde_json::Value;

use ambit_tests::cluster::{Namespace, PATIENCE, client, object, policy, server};
use ambit_tests::until;

use crate::mesh;

#[test]
fn a_bad_object_is_refused_and_one_that_was_not_is_told_so() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("validated")?;
    let [client, web] = shop.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    for pod in [&client, &web] {
        pod.wait_enrolled(true)?;
    }
    let bad = policy("bad", "web", "ALLOW", &["'a*b'"]);
    // By the schema, by a rule in it, by the control plane.
    for (object, reason) in [
        (policy("bad", "web", "PERMIT", &["a"]), "spec.action"),
        (policy("bad", "web", "CUSTOM", &["a"]), "provider"),
        (bad.clone(), "spec.rules[0].from[0].source.principals[0]"),
    ] {
        let refused = shop.apply(&object).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(reason), "{reason}: {refused:?}");
    }
    // A control plane that is away keeps nobody from writing.
    mesh::control_planes(0)?;
    let stored = shop.apply(&bad);
    mesh::control_planes(2)?;
    stored?;
    let said = until("a status", PATIENCE, || {
        let policy = object(&["--namespace", "validated", "authorizationpolicy", "bad"]).ok()?;
        policy.pointer("/status/conditions/0").cloned()
    })?;
    let text = |field: &str| said.get(field).and_then(Value::as_str).unwrap_or_default();
    assert_eq!((text("type"), text("status"), text("reason")), ("Accepted", "False", "Invalid"), "{said}");
    assert!(text("message").contains("not in force"), "{said}");
    client.wait_answered("http://web/debug").map(drop)
}
