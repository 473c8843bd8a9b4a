//! Objects written at an older version of their kind, and a kind that the API server has at an older version only.

use anyhow::Result;
use serde_json::{Value, json};

use ambit_tests::cluster::{Namespace, PATIENCE, client, kubectl, object, server, strictness};
use ambit_tests::until;

use crate::mesh;

const URL: &str = "http://web.versions/debug";

/// Waits for what the status of an object says, asked for at a version.
fn wait_accepted(namespace: &str, resource: &str, name: &str) -> Result<()> {
    until(&format!("a status of {resource} {name}"), PATIENCE, || {
        let object = object(&["--namespace", namespace, resource, name]).ok()?;
        let condition = object.pointer("/status/conditions/0")?;
        let said = |field: &str| condition.get(field).and_then(Value::as_str) == Some("True");
        (condition.get("type")? == "Accepted" && said("status")).then_some(())
    })
}

#[test]
fn objects_of_every_version_are_accepted() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::plain("every-version")?;
    let entry = json!({"hosts": ["a.example"], "addresses": ["192.0.2.1"], "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "endpoints": [{"address": "192.0.2.2"}]});
    let deny = json!({"action": "DENY", "rules": [{"from": [{"source": {"namespaces": ["nobody"]}}]}]});
    for (group, version, kind, plural, spec) in [
        ("networking", "v1beta1", "ServiceEntry", "serviceentries", &entry),
        ("networking", "v1alpha3", "ServiceEntry", "serviceentries", &entry),
        ("networking", "v1beta1", "WorkloadEntry", "workloadentries", &json!({"address": "192.0.2.3"})),
        ("networking", "v1alpha3", "WorkloadEntry", "workloadentries", &json!({"address": "192.0.2.4"})),
        ("security", "v1beta1", "AuthorizationPolicy", "authorizationpolicies", &deny),
        ("security", "v1beta1", "PeerAuthentication", "peerauthentications", &json!({"mtls": {"mode": "STRICT"}})),
    ] {
        let name = format!("of-{version}");
        let group = format!("{group}.istio.io");
        let object = json!({"apiVersion": format!("{group}/{version}"), "kind": kind,
            "metadata": {"name": name}, "spec": spec});
        shop.apply(&object.to_string())?;
        wait_accepted(shop.name(), &format!("{plural}.{version}.{group}"), &name)?;
        shop.kubectl(&["delete", &format!("{plural}.{version}.{group}"), &name])?;
    }
    Ok(())
}

#[test]
fn a_kind_that_is_there_at_an_older_version_only_is_in_force() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("versions")?;
    shop.start(&[server("web", 2)], ["web"])?[0].wait_enrolled(true)?;
    let outside = Namespace::plain("versions-outside")?;
    let [plain] = outside.start(&[client("plain", 1)], ["plain"])?;
    plain.wait_answered(URL)?;
    serve_newest(false)?;
    let checked = (|| {
        shop.apply(&strictness("STRICT").replace("/v1\n", "/v1beta1\n"))?;
        plain.wait_refused(URL)?;
        wait_accepted("versions", "peerauthentications.v1beta1.security.istio.io", "default")
    })();
    serve_newest(true)?;
    checked?;
    // And when the definition is renewed.
    shop.apply(&strictness("PERMISSIVE"))?;
    plain.wait_answered(URL).map(drop)
}

/// Has the API server have the kind at its newest version, or only at the one before.
fn serve_newest(served: bool) -> Result<()> {
    let patch = json!([
        {"op": "test", "path": "/spec/versions/0/name", "value": "v1"},
        {"op": "replace", "path": "/spec/versions/0/served", "value": served},
    ]);
    let definition = ["customresourcedefinition", "peerauthentications.security.istio.io"];
    kubectl(&[&["patch"], &definition[..], &["--type=json", "--patch", &patch.to_string()]].concat())?;
    until("the API server's own word for it", PATIENCE, || {
        let there = kubectl(&["get", "--raw", "/apis/security.istio.io/v1"]).ok()?.contains("\"peerauthentications\"");
        (there == served).then_some(())
    })
}
