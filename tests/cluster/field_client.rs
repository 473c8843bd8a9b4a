//! The field's own clients of a control plane get from ours what they understand: `tests/cluster/istio` is made of
//! Istio's certificate client, its discovery client and its messages.

use std::env;
use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use ambit_tests::cluster::{Namespace, PATIENCE, client, policy, server, strictness};
use ambit_tests::{run, until};

use crate::control_plane_client::{control_planes, name, roots, token};
use crate::mesh;

const WEB: &str = "field/web.field.svc.cluster.local";

#[test]
fn istios_clients_understand_what_they_are_given() -> Result<()> {
    mesh::installed()?;
    let field = Namespace::meshed("field")?;
    let [client, web] = field.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    client.wait_enrolled(true)?;
    web.wait_enrolled(true)?;
    field.apply(&(strictness("STRICT") + &policy("callers", "web", "ALLOW", &["cluster.local/ns/field/sa/client"])))?;

    let folder = tempfile::tempdir()?;
    let [token_file, roots_file] = ["token", "roots.pem"].map(|name| folder.path().join(name));
    std::fs::write(&token_file, token(&client, "client")?)?;
    std::fs::write(&roots_file, roots()?)?;
    let address = control_planes()?.first().context("no control plane")?.ip()?;
    let ask = || -> Result<Value> {
        let program = env::var_os("AMBIT_FIELD_CLIENT").context("AMBIT_FIELD_CLIENT names no client")?;
        let mut peer = Command::new(program);
        peer.arg(format!("-address={address}:15012")).arg(format!("-name={}", name()));
        Ok(serde_json::from_str(&run(peer.arg("-token").arg(&token_file).arg("-roots").arg(&roots_file))?)?)
    };
    let told = until("what Istio's clients are told, with the policy", PATIENCE, || {
        Some(ask()).filter(|told| told.as_ref().map_or(true, |told| !told["authorizations"]["field/callers"].is_null()))
    })??;

    assert!(told["chain"].as_array().is_some_and(|chain| chain.len() > 1), "{}", told["chain"]);
    let pod = &told["addresses"]["Kubernetes//Pod/field/web"]["workload"];
    let expected = json!({
        "uid": "Kubernetes//Pod/field/web", "name": "web", "namespace": "field", "serviceAccount": "web",
        "tunnelProtocol": "HBONE", "node": web.node()?.name(), "workloadName": "web", "canonicalName": "web",
        "clusterId": "Kubernetes",
    });
    holds(pod, &expected);
    assert_eq!(addresses(&pod["addresses"])?, web.addresses()?);
    let mut ports = pod["services"][WEB]["ports"].as_array().cloned().unwrap_or_default();
    ports.sort_by_key(|port| port["servicePort"].as_u64());
    let ports = ports.iter().map(|port| [&port["servicePort"], &port["targetPort"]].map(Value::as_u64));
    assert_eq!(
        ports.collect::<Vec<_>>(),
        [(78, 8078), (79, 8079), (80, 8080)].map(|(from, to)| [Some(from), Some(to)])
    );

    let service = &told["addresses"][WEB]["service"];
    holds(service, &json!({"name": "web", "namespace": "field", "hostname": "web.field.svc.cluster.local"}));
    let of_cluster = field.kubectl(&["get", "service", "web", "--output=jsonpath={.spec.clusterIP}"])?.parse()?;
    let of_service = service["addresses"].as_array().context("no addresses")?.iter().map(|address| &address["address"]);
    assert!(of_service.map(address_of).collect::<Result<Vec<_>>>()?.contains(&of_cluster), "{service}");

    let callers = &told["authorizations"]["field/callers"];
    holds(callers, &json!({"name": "callers", "namespace": "field", "scope": "WORKLOAD_SELECTOR"}));
    let matched = callers.pointer("/groups/0/rules/0/matches/0/principals/0/exact");
    assert_eq!(matched, Some(&json!("cluster.local/ns/field/sa/client")), "{callers}");
    let of_pod = pod["authorizationPolicies"].as_array().cloned().unwrap_or_default();
    assert!(of_pod.contains(&json!("field/callers")), "{pod}");
    // What is said of a workload can be looked up, that plaintext is refused included.
    assert!(of_pod.len() > 1, "{pod}");
    let is_told = |name: &Value| name.as_str().is_some_and(|name| !told["authorizations"][name].is_null());
    assert!(of_pod.iter().all(is_told), "{of_pod:?}");
    Ok(())
}

/// That an object has these fields.
fn holds(object: &Value, expected: &Value) {
    for (field, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(&object[field], value, "{field} of {object}");
    }
}

fn addresses(list: &Value) -> Result<Vec<IpAddr>> {
    list.as_array().context("no addresses")?.iter().map(address_of).collect()
}

/// Bytes, as JSON writes them.
fn address_of(bytes: &Value) -> Result<IpAddr> {
    let bytes = STANDARD.decode(bytes.as_str().context("no text")?)?;
    Ok(match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(bytes.as_slice())?.into(),
    })
}
