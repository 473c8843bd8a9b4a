//! Certificates and the authority that signs them change under load.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use ambit_identity::{CaOptions, NewRoot};
use ambit_tests::cluster::{Agent, Namespace, Node, PATIENCE, Pod, SYSTEM, apply, kubectl, object};
use ambit_tests::until;

use crate::{mesh, traffic::Loaded, waypoints};

/// Renewed every five seconds.
const LIFETIME: &str = "certificates.lifetimeSeconds=10";

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

#[test]
fn a_new_root_fails_no_request_through_a_waypoint() -> Result<()> {
    mesh::with_gateway_api()?;
    mesh::install(&[LIFETIME])?;
    let rotated = (|| {
        let traffic = waypoints::behind_a_waypoint("rotation-waypoint")?;
        let waypoint = traffic.shop.pods("gateway.networking.k8s.io/gateway-name=waypoint")?;
        let waypoint = waypoint.first().context("no pod of the waypoint")?;
        let before = own_serial(waypoint)?;
        traffic.undisturbed_by(|| new_root(&traffic))?;
        ensure!(own_serial(waypoint)? != before, "the waypoint was not certified anew");
        Ok(())
    })();
    mesh::install(&[])?;
    rotated
}

#[test]
fn an_authority_that_is_plugged_in_signs_by_its_intermediate() -> Result<()> {
    mesh::installed()?;
    mesh::install(&[LIFETIME])?;
    let traffic = Loaded::prepare("plugged-in")?;
    let checked = traffic.undisturbed_by(|| {
        let root = text(&secret()?, "root-cert.pem")?;
        apply(SYSTEM, &plugged_in(&root)?.to_string())?;
        agents_have_both()?;
        restarted()?;
        renewals(&traffic.clients[0], 2)?;
        let chain = traffic.clients[0].agent()?.chain(&identity(&traffic.clients[0]))?;
        ensure!(certificates(&chain) == 2, "the leaf and who signed it: {chain}");
        Ok(())
    });
    // Back to the mesh's own, which is believed by all that were told of both.
    kubectl(&["--namespace", SYSTEM, "delete", "secret", "cacerts"])?;
    restarted()?;
    checked?;
    renewals(&traffic.clients[0], 1)?;
    mesh::install(&[])
}

/// A Secret with an intermediate of another root, which is to be believed beside the one there is.
fn plugged_in(believed: &str) -> Result<Value> {
    let authority = |name: &str, below: u8| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let (root_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let root = authority("their root", 1);
    let root_certificate = root.self_signed(&root_key)?.pem();
    let intermediate = authority("their intermediate", 0).signed_by(&key, &Issuer::new(root, root_key))?.pem();
    let files = json!({
        "ca-cert.pem": intermediate,
        "ca-key.pem": key.serialize_pem(),
        "cert-chain.pem": intermediate,
        "root-cert.pem": format!("{believed}\n{root_certificate}"),
    });
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts"}, "stringData": files}))
}

/// Waits until the certificate of a pod was renewed so many times.
fn renewals(pod: &Pod, count: usize) -> Result<()> {
    let serial = || pod.agent()?.serial(&identity(pod));
    for _ in 0..count {
        let before = serial()?;
        until("a renewed certificate", PATIENCE, || serial().is_ok_and(|now| now != before).then_some(()))?;
    }
    Ok(())
}

/// The serial number of a waypoint's own certificate.
fn own_serial(waypoint: &Pod) -> Result<String> {
    let dump: Value = serde_json::from_str(&waypoint.admin("/config_dump")?)?;
    let serial = dump.pointer("/certificates/certificates/0/serial").and_then(Value::as_str);
    Ok(serial.context("a waypoint without a certificate")?.to_owned())
}

fn identity(pod: &Pod) -> String {
    format!("spiffe://cluster.local/ns/{}/sa/{}", pod.namespace(), pod.name())
}

/// From the root there is to another, in the three steps of the manual.
fn new_root(traffic: &Loaded) -> Result<()> {
    let new = NewRoot::generate(&CaOptions::new("cluster.local"))?;
    let both = format!("{}\n{}", text(&secret()?, "root-cert.pem")?, new.certificate);
    patch(&json!({"root-cert.pem": both}))?;
    agents_have_both()?;
    patch(&json!({"ca-cert.pem": new.certificate, "ca-key.pem": new.key, "cert-chain.pem": ""}))?;
    restarted()?;
    renewals(&traffic.clients[0], 3)?;
    patch(&json!({"root-cert.pem": new.certificate}))?;
    renewals(&traffic.clients[0], 2)?;
    // Whoever comes now knows the new root only.
    let late = Namespace::meshed(&format!("{}-late", traffic.shop.name()))?;
    let [client] = late.start(&[ambit_tests::cluster::client("client", 2)], ["client"])?;
    client.wait_enrolled(true)?;
    client.wait_answered(&format!("http://web.{}/debug", traffic.shop.name())).map(drop)
}

/// Agents are told; the file that the kubelet gives them follows within a minute or two, and nobody waits for it.
fn agents_have_both() -> Result<()> {
    for node in Node::ALL {
        let agent = Agent::on(node)?;
        until("both roots, with the agent", PATIENCE, || {
            agent.roots().is_ok_and(|roots| certificates(&roots) == 2).then_some(())
        })?;
    }
    Ok(())
}

/// Replicas that run wait a while before they sign with a new key; those that start do not, and show a
/// certificate of the new root themselves.
fn restarted() -> Result<()> {
    kubectl(&["--namespace", SYSTEM, "rollout", "restart", "deployment/ambitd"])?;
    mesh::wait_ready()
}

fn certificates(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

fn text(secret: &BTreeMap<String, String>, key: &str) -> Result<String> {
    secret.get(key).cloned().with_context(|| format!("no {key}"))
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
