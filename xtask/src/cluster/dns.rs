//! CoreDNS as a Deployment, and the proof that the cluster works: both nodes ready, and a name
//! answered through a Service address.

use std::{net::UdpSocket, time::Duration};

use ambit_tests::until;
use anyhow::Result;

use super::{
    layout::{self, NODES, Node},
    shell::kubectl,
};
use crate::{command, workspace};

/// How long nodes and DNS may take.
const START_TIME: Duration = Duration::from_secs(120);

/// Deploys DNS, and waits until it answers on both nodes.
pub(super) fn start() -> Result<()> {
    // Nodes first: what is deployed before they are ready all goes to the first.
    until("both nodes ready", START_TIME, || {
        let ready = kubectl().args(["wait", "node", "--all", "--for=condition=Ready", "--timeout=1s"]).output().ok()?;
        let all = String::from_utf8_lossy(&ready.stdout).lines().count() == NODES.len();
        (ready.status.success() && all).then_some(())
    })?;
    let manifest = workspace::root().join("tests/cluster/coredns.yaml");
    command::output(kubectl().args(["apply", "--filename"]).arg(manifest))?;
    let patience = format!("--timeout={}s", START_TIME.as_secs());
    command::output(kubectl().args(["rollout", "status", "deployment/coredns", "--namespace=kube-system", &patience]))?;
    NODES.into_iter().try_for_each(wait_for_answer)
}

fn wait_for_answer(node: Node) -> Result<()> {
    until(&format!("an answer of DNS on {node}"), START_TIME, || {
        node.member().netns().run(ask).ok()?.ok()?.then_some(())
    })
}

/// Whether the address of `kubernetes.default.svc.cluster.local` is told.
fn ask() -> std::io::Result<bool> {
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local"] {
        question.extend(u8::try_from(label.len()));
        question.extend(label.as_bytes());
    }
    let (a_record, internet) = ([0, 1], [0, 1]);
    question.extend([&[0][..], &a_record, &internet].concat());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.send_to(&question, (layout::DNS, 53))?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // The first address of the range of Services is the API server's.
    Ok(answer.get(..length).is_some_and(|answer| answer.windows(4).any(|bytes| bytes == [10, 96, 0, 1])))
}
