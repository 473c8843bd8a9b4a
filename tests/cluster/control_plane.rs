//! The control plane is killed, in part or wholly, and traffic does not notice.

use std::thread;

use anyhow::{Context as _, Result};
use serde_json::Value;

use ambit_tests::cluster::{App, Namespace, PATIENCE, Pod, SYSTEM, client, kubectl, object, policy, server};
use ambit_tests::until;

use crate::{mesh, traffic::Loaded};

#[test]
fn without_a_control_plane_traffic_goes_on() -> Result<()> {
    let traffic = Loaded::prepare("no-control-plane")?;
    let outside = Namespace::plain("no-control-plane-outside")?;
    traffic.undisturbed_by(|| {
        mesh::control_planes(0)?;
        // Churn that the agents hear nothing of: pods outside of the mesh come and go.
        for round in 0..3 {
            let name = format!("passing-{round}");
            let [pod] = outside.start(&[client(&name, 2)], [&name])?;
            pod.delete()?;
        }
        thread::sleep(mesh::outage());
        mesh::control_planes(2)
    })?;
    // What it missed it learns.
    let late = traffic.shop.start(&[client("late", 2)], ["late"])?;
    late[0].wait_enrolled(true)?;
    late[0].wait_answered(crate::traffic::URL).map(drop)
}

#[test]
fn pods_of_the_mesh_wait_for_the_control_plane() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("waiting-for-it")?;
    shop.start(&[server("web", 2)], ["web"])?[0].wait_enrolled(true)?;
    mesh::control_planes(0)?;
    let applied = shop.apply(&client("new", 1));
    let refused = until("the refusal of a pod's network", PATIENCE, || {
        let events = shop.kubectl(&["get", "events", "--field-selector=reason=FailedCreatePodSandBox"]).ok()?;
        events.contains("pod/new").then_some(())
    });
    mesh::control_planes(2)?;
    applied.and(refused)?;
    shop.all_ready()?;
    let new = shop.pod("new");
    new.wait_enrolled(true)?;
    new.wait_answered("http://web/debug").map(drop)
}

#[test]
fn an_agent_starts_from_what_it_kept() -> Result<()> {
    let traffic = Loaded::prepare("kept")?;
    let outside = Namespace::plain("kept-outside")?;
    let [plain] = outside.start(&[client("plain", 1)], ["plain"])?;
    mesh::control_planes(0)?;
    let checked = (|| {
        kubectl(&["--namespace", SYSTEM, "delete", "pods", "--selector=app.kubernetes.io/name=ztunnel"])?;
        // Pods stay captured; those outside go on as they did.
        plain.wait_answered("http://web.kept/debug")
    })();
    mesh::control_planes(2)?;
    checked?;
    traffic.clients[0].wait_answered(crate::traffic::URL)?;
    traffic.undisturbed_by(|| traffic.clients[0].ask(crate::traffic::URL).map(drop))
}

#[test]
fn when_the_leader_is_killed_another_writes_status() -> Result<()> {
    let traffic = Loaded::prepare("leader")?;
    let before = leader()?;
    traffic.undisturbed_by(|| {
        kubectl(&["--namespace", SYSTEM, "delete", "pod", &before, "--grace-period=0", "--force"])?;
        until("another leader", PATIENCE, || leader().ok().filter(|now| *now != before)).map(drop)
    })?;
    let everybody = policy("anybody", "web", "ALLOW", &["'*'"]);
    traffic.shop.apply(&everybody)?;
    until("a status of the policy", PATIENCE, || {
        let policy = object(&["--namespace", "leader", "authorizationpolicy", "anybody"]).ok()?;
        policy.pointer("/status/conditions/0/type").and_then(Value::as_str).map(str::to_owned)
    })?;
    mesh::wait_ready()
}

#[test]
fn what_happens_while_pods_come_and_go_is_told_to_all() -> Result<()> {
    let traffic = Loaded::prepare("churn")?;
    traffic.undisturbed_by(|| {
        for round in 0..3 {
            let name = format!("web-{round}");
            let [pod] = traffic.shop.start(&[App::server(&name).on(2).pod()], [&name])?;
            pod.wait_enrolled(true)?;
            let url = format!("http://{}:8080/debug", pod.ip()?);
            traffic.clients[0].wait_answered(&url)?;
            gone(&pod)?;
        }
        Ok(())
    })
}

fn gone(pod: &Pod) -> Result<()> {
    pod.delete()?;
    until("no such pod", PATIENCE, || pod.object().is_err().then_some(()))
}

/// The pod that holds the Lease.
fn leader() -> Result<String> {
    let lease = object(&["--namespace", SYSTEM, "lease", "ambitd"])?;
    let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).context("nobody leads")?;
    // What follows the pod's name tells one life of it from the next.
    Ok(holder.split('_').next().unwrap_or(holder).to_owned())
}
