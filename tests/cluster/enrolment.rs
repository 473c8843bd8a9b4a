//! Pods that run are taken into the mesh and let go again, by a label and nothing else.

use std::time::Instant;

use anyhow::Result;

use ambit_tests::cluster::{App, Namespace, Pod, client, server};
use ambit_tests::{AccessLine, Capture, Traffic};

use crate::{mesh, traffic::Loaded};

const URL: &str = "http://web/debug";

#[test]
fn a_label_enrols_running_pods_and_its_removal_lets_them_go() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::plain("enrolment")?;
    let pods = shop.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    let [client, web] = &pods;
    let lives = || pods.iter().map(Pod::incarnation).collect::<Result<Vec<_>>>();
    let before = lives()?;
    client.wait_answered(URL)?;

    let begin = Instant::now();
    shop.enrol()?;
    pods.iter().try_for_each(|pod| pod.wait_enrolled(true))?;
    println!("enrolled, and told so, {:?} after the label was asked for", begin.elapsed());
    let (answer, traffic) = recorded(client, web)?;
    assert!(answer.contains(&client.ip()?.to_string()), "the server sees the client's own address: {answer}");
    traffic.only_tunnels()?;
    let line = web.agent()?.wait_access(|line| is_of(line, "enrolment", "web"))?;
    assert_eq!(line.field("src.identity"), "spiffe://cluster.local/ns/enrolment/sa/client");
    assert_eq!(line.field("dst.identity"), "spiffe://cluster.local/ns/enrolment/sa/web");

    let begin = Instant::now();
    shop.release()?;
    pods.iter().try_for_each(|pod| pod.wait_enrolled(false))?;
    println!("let go, and told so, {:?} after the label's removal was asked for", begin.elapsed());
    let (_, traffic) = recorded(client, web)?;
    assert!(traffic.contains(b"GET /debug"), "in the clear again");
    assert_eq!(lives()?, before, "nothing was restarted");
    Ok(())
}

#[test]
fn labels_come_and_go_under_load() -> Result<()> {
    let traffic = Loaded::prepare("enrolled-under-load")?;
    let pods = traffic.shop.pods("app")?;
    let reports = traffic.during(|| {
        for _ in 0..2 {
            traffic.shop.release()?;
            pods.iter().try_for_each(|pod| pod.wait_enrolled(false))?;
            traffic.shop.enrol()?;
            pods.iter().try_for_each(|pod| pod.wait_enrolled(true))?;
        }
        Ok(())
    })?;
    assert!(reports.iter().all(|report| report.answered() > 0));
    Ok(())
}

#[test]
fn a_pods_own_label_has_the_last_word() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("own-label")?;
    let out = App::idle("out").metadata("labels: {istio.io/dataplane-mode: none, app: out}");
    let host = App::idle("host").spec("hostNetwork: true");
    let [meshed, out, host] = shop.start(&[client("meshed", 1), out.pod(), host.pod()], ["meshed", "out", "host"])?;
    meshed.wait_enrolled(true)?;
    for pod in [&out, &host] {
        assert!(!pod.is_enrolled()?, "{}", pod.name());
    }
    shop.kubectl(&["label", "pod", "out", "--overwrite", "istio.io/dataplane-mode=ambient"])?;
    out.wait_enrolled(true)?;
    shop.kubectl(&["label", "pod", "meshed", "istio.io/dataplane-mode=none"])?;
    meshed.wait_enrolled(false)
}

/// One request, and what of it passed between the nodes.
fn recorded(client: &Pod, web: &Pod) -> Result<(String, Traffic)> {
    let directory = std::env::temp_dir();
    let (from, to) = (client.node()?, web.node()?);
    let filter = format!("host {} and host {}", client.ip()?, web.ip()?);
    let capture = Capture::on_link(from.netns(), from.link(), to.ip(), &filter, &directory)?;
    let answer = client.wait_answered(URL)?;
    Ok((answer, capture.stop()?))
}

fn is_of(line: &AccessLine, namespace: &str, workload: &str) -> bool {
    !line.is_outbound() && line.field("dst.namespace") == namespace && line.field("dst.workload") == workload
}
