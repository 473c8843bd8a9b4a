//! Pods that start while their namespace is in the mesh: captured before anything in them runs, or not
//! started.

use anyhow::{Context as _, Result};
use serde_json::Value;

use ambit_tests::cluster::{App, Namespace, Node, PATIENCE, client, policy, server};
use ambit_tests::until;

use crate::mesh;

#[test]
fn an_init_container_is_in_the_mesh_already() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("init")?;
    shop.start(&[server("web", 2)], ["web"])?[0].wait_enrolled(true)?;
    shop.apply(&policy("only-early", "web", "ALLOW", &["cluster.local/ns/init/sa/early"]))?;
    let [probe] = shop.start(&[client("probe", 1)], ["probe"])?;
    probe.wait_refused("http://web/debug")?;
    // One try, with the first of its instructions: only the mesh could have let it through.
    let early = App::idle("early").on(1).spec(
        "initContainers: [{name: ask, image: ambit.test/app:1, imagePullPolicy: Never, \
         command: [fortio, curl, -quiet, -timeout, 5s, 'http://web/debug']}]\nrestartPolicy: Never",
    );
    let [early] = shop.start(&[early.pod()], ["early"])?;
    early.wait_enrolled(true)
}

#[test]
fn without_an_agent_meshed_pods_wait_and_others_start() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("waiting")?;
    let outside = Namespace::plain("not-waiting")?;
    let [old, leaving] = shop.start(&[client("old", 1), client("leaving", 2)], ["old", "leaving"])?;
    for pod in [&old, &leaving] {
        pod.wait_enrolled(true)?;
    }
    mesh::agents(false)?;
    let checked = (|| {
        shop.apply(&(client("new", 1) + "---\n" + &server("web", 2)))?;
        outside.start(&[client("new", 1), server("web", 2)], ["new"])?[0].wait_answered("http://web/debug")?;
        let refused = until("the refusal of a pod's network", PATIENCE, || {
            let events = shop.kubectl(&["get", "events", "--field-selector=reason=FailedCreatePodSandBox"]).ok()?;
            events.contains("pod/new").then_some(events)
        })?;
        assert!(refused.contains("ambit"), "the event names who refused: {refused}");
        // The plugin must not keep a pod from going.
        leaving.delete()
    })();
    mesh::agents(true)?;
    checked?;
    shop.all_ready()?;
    let new = shop.pod("new");
    new.wait_enrolled(true)?;
    new.wait_answered("http://web/debug").map(drop)
}

#[test]
fn the_plugin_is_put_back_when_another_tool_rewrites_the_list() -> Result<()> {
    mesh::installed()?;
    let node = Node::ALL[0];
    let file = node.exec("grep -l ambit-cni /etc/cni/net.d/*")?;
    let file = file.trim();
    let read = || -> Result<Value> { Ok(serde_json::from_str(&node.exec(&format!("cat {file}"))?)?) };
    let is_ours = |plugin: &Value| plugin.get("type").is_some_and(|name| name == "ambit-cni");
    let mut list = read()?;
    let plugins = list.pointer_mut("/plugins").and_then(Value::as_array_mut).context("no plugins")?;
    plugins.retain(|plugin| !is_ours(plugin));
    node.exec(&format!("echo '{list}' > {file}.other && mv {file}.other {file}"))?;
    until("the plugin's return", PATIENCE, || {
        read().ok()?.pointer("/plugins")?.as_array()?.iter().any(is_ours).then_some(())
    })?;
    let shop = Namespace::meshed("repaired")?;
    let [pod] = shop.start(&[client("client", 1)], ["client"])?;
    pod.wait_enrolled(true)
}
