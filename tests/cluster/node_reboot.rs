//! A node loses its power and comes back: all in its memory is gone, and what was on its disk is there.

use anyhow::Result;

use ambit_tests::cluster::{App, Namespace, Node, PATIENCE, client, kubectl, policy, service};
use ambit_tests::until;

use crate::mesh;

#[test]
fn a_node_comes_back_with_its_pods_in_the_mesh() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("reboot")?;
    let web = App::server("web").on(2).spec("restartPolicy: Always").pod() + &service("web", "");
    let [asker, web] = shop.start(&[client("client", 1), web], ["client", "web"])?;
    for pod in [&asker, &web] {
        pod.wait_enrolled(true)?;
    }
    shop.apply(&policy("only-client", "web", "ALLOW", &["cluster.local/ns/reboot/sa/client"]))?;
    asker.wait_answered("http://web/debug")?;
    let node = Node::ALL[1];
    let before = web.ip()?;
    node.stop()?;
    let rebooted = asker.wait_refused("http://web/debug");
    node.start()?;
    rebooted?;
    until("a node that is ready", PATIENCE, || {
        kubectl(&["wait", "node", &node.name(), "--for=condition=Ready", "--timeout=60s"]).ok()
    })?;
    until("another sandbox", PATIENCE, || web.ip().is_ok_and(|now| now != before).then_some(()))?;
    mesh::wait_ready()?;
    shop.all_ready()?;
    web.wait_enrolled(true)?;
    // The policy lets in whom the mesh vouches for, so this went through it.
    asker.wait_answered("http://web/debug")?;
    let outside = Namespace::plain("reboot-outside")?;
    let [plain] = outside.start(&[client("plain", 1)], ["plain"])?;
    plain.wait_refused("http://web.reboot/debug")
}
