//! Certificates and the authority that signs them change under load.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use ambit_identity::{CaOptions, NewRoot};
use ambit_tests::cluster::{Agent, Namespace, Node, PATIENCE, Pod, SYSTEM, kubectl, object};
use ambit_tests::until;

use crate::{mesh, traffic::Loaded};

/// Renewed every five seconds.
const LIFETIME: &str = "certificates.lifetimeSeconds=10";

const AGENTS: &str = "--selector=app.kubernetes.io/name=ztunnel";

#[test]
fn neither_renewal_nor_a_new_root_fails_a_request() -> Result<()> {
    mesh::installed()?;
    mesh::install(&[LIFETIME])?;
    let rotated = (|| {
        let traffic = Loaded::prepare("rotation")?;
        traffic.undisturbed_by(|| renewals(&traffic.clients[0], 3))?;
        traffic.undisturbed_by(|| new_root(&traffic))
    })();
    mesh::install(&[])?;
    rotated
}

/// Waits until the certificate of a pod was renewed so many times.
fn renewals(pod: &Pod, count: usize) -> Result<()> {
    let serial = || pod.agent()?.serial(&format!("spiffe://cluster.local/ns/{}/sa/{}", pod.namespace(), pod.name()));
    for _ in 0..count {
        let before = serial()?;
        until("a renewed certificate", PATIENCE, || serial().is_ok_and(|now| now != before).then_some(()))?;
    }
    Ok(())
}

/// From the root there is to another, in the three steps of the manual.
fn new_root(traffic: &Loaded) -> Result<()> {
    let old = secret()?;
    let new = NewRoot::generate(&CaOptions::new("cluster.local"))?;
    let both = format!("{}\n{}", old.get("root-cert.pem").context("no roots")?, new.certificate);
    patch(&json!({"root-cert.pem": both}))?;
    until("both roots, for pods to be given", PATIENCE, || {
        let roots = object(&["--namespace", SYSTEM, "configmap", "istio-ca-root-cert"]).ok()?;
        are_both(roots.pointer("/data/root-cert.pem")?.as_str()?)
    })?;
    // The kubelet looks at what it mounted once a minute, and when the pod is changed.
    kubectl(&["--namespace", SYSTEM, "annotate", "pods", AGENTS, "--overwrite", "rotated=now"])?;
    for node in Node::ALL {
        let uid = Agent::on(node)?.pod().text("/metadata/uid")?;
        let file = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~configmap/*/root-cert.pem");
        until("both roots, where the agent reads them", 2 * PATIENCE, || {
            are_both(&node.exec(&format!("cat {file}")).ok()?)
        })?;
    }
    renewals(&traffic.clients[0], 2)?;
    patch(&json!({"ca-cert.pem": new.certificate, "ca-key.pem": new.key, "cert-chain.pem": ""}))?;
    // Replicas that run wait a while before they sign with the new key; those that start do not.
    kubectl(&["--namespace", SYSTEM, "rollout", "restart", "deployment/ambitd"])?;
    mesh::wait_ready()?;
    renewals(&traffic.clients[0], 3)?;
    patch(&json!({"root-cert.pem": new.certificate}))?;
    renewals(&traffic.clients[0], 2)?;
    // Whoever comes now knows the new root only.
    let late = Namespace::meshed("rotation-late")?;
    let [client] = late.start(&[ambit_tests::cluster::client("client", 2)], ["client"])?;
    client.wait_enrolled(true)?;
    client.wait_answered("http://web.rotation/debug").map(drop)
}

fn are_both(roots: &str) -> Option<()> {
    (roots.matches("BEGIN CERTIFICATE").count() == 2).then_some(())
}

fn secret() -> Result<BTreeMap<String, String>> {
    let secret = object(&["--namespace", SYSTEM, "secret", "ambit-ca"])?;
    let data = secret.pointer("/data").and_then(Value::as_object).context("an empty Secret")?;
    data.keys()
        .map(|key| {
            let template = format!("--output=go-template={{{{index .data \"{key}\" | base64decode}}}}");
            Ok((key.clone(), kubectl(&["--namespace", SYSTEM, "get", "secret", "ambit-ca", &template])?))
        })
        .collect()
}

fn patch(data: &Value) -> Result<()> {
    let patch = json!({"stringData": data}).to_string();
    kubectl(&["--namespace", SYSTEM, "patch", "secret", "ambit-ca", "--patch", &patch]).map(drop)
}
