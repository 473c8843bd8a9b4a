//! STRICT, PERMISSIVE and AuthorizationPolicy, written to the API server and in force on the nodes.

use std::thread;

use anyhow::{Result, anyhow};

use ambit_tests::cluster::{Namespace, PATIENCE, Pod, client, policy, server, strictness};
use ambit_tests::until;

use crate::mesh;

const CLIENT: &str = "cluster.local/ns/authorization/sa/client";

/// A namespace with a server on node 2 and two clients on node 1.
fn shop(name: &str) -> Result<(Namespace, [Pod; 3])> {
    mesh::installed()?;
    let shop = Namespace::meshed(name)?;
    let manifests = [client("client", 1), client("other", 1), server("web", 2)];
    let pods = shop.start(&manifests, ["client", "other", "web"])?;
    pods.iter().try_for_each(|pod| pod.wait_enrolled(true))?;
    Ok((shop, pods))
}

#[test]
fn strict_takes_tunnels_only_and_permissive_takes_all() -> Result<()> {
    let (shop, [client, _, web]) = shop("strict")?;
    let outside = Namespace::plain("strict-outside")?;
    let [plain] = outside.start(&[ambit_tests::cluster::client("plain", 1)], ["plain"])?;
    // By the Service, and by the pod's address, as Prometheus scrapes.
    let urls = ["http://web.strict/debug".to_owned(), format!("http://{}:8080/debug", web.ip()?)];
    let all_answered = || {
        urls.iter().try_for_each(|url| {
            plain.wait_answered(url)?;
            client.ask(url).map(drop)
        })
    };
    all_answered()?;
    shop.apply(&strictness("STRICT"))?;
    for url in &urls {
        plain.wait_refused(url)?;
        client.ask(url)?;
    }
    shop.apply(&strictness("PERMISSIVE"))?;
    all_answered()
}

#[test]
fn policies_name_who_may_and_who_may_not() -> Result<()> {
    let (shop, [client, other, web]) = shop("authorization")?;
    let url = "http://web/debug";
    shop.apply(&policy("only-client", "web", "ALLOW", &[CLIENT]))?;
    other.wait_refused(url)?;
    client.ask(url)?;
    let line = web.agent()?.wait_access(|line| {
        line.field("src.workload") == "other"
            && line.field("dst.namespace") == "authorization"
            && line.error().is_some()
    })?;
    assert!(line.error().is_some_and(|error| error.contains("only-client")), "the log names the policy: {line:?}");
    shop.apply(&policy("not-client", "web", "DENY", &[CLIENT]))?;
    client.wait_refused(url)?;
    shop.kubectl(&["delete", "authorizationpolicy", "only-client", "not-client"])?;
    client.wait_answered(url)?;
    other.wait_answered(url).map(drop)
}

#[test]
fn a_denial_cuts_what_is_open() -> Result<()> {
    let (shop, [client, _, web]) = shop("cut")?;
    let opened = || -> Result<f64> {
        let labels = [("reporter", "destination"), ("destination_workload_namespace", "cut")];
        Ok(web.agent()?.metrics()?.sum("istio_tcp_connections_opened_total", &labels))
    };
    let before = opened()?;
    let asking =
        thread::spawn(move || client.exec(&["fortio", "curl", "-quiet", "-timeout", "120s", "http://web/?delay=100s"]));
    until("the open connection", PATIENCE, || (opened().ok()? > before).then_some(()))?;
    shop.apply(&policy("not-client", "web", "DENY", &["cluster.local/ns/cut/sa/client"]))?;
    let cut = until("the connection's end", PATIENCE, || asking.is_finished().then_some(()));
    cut.map_err(|error| error.context("a denied connection went on"))?;
    let end = asking.join().map_err(|_| anyhow!("the client's thread has panicked"))?;
    assert!(end.is_err(), "it is no answer: {end:?}");
    Ok(())
}
