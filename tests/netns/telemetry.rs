//! What operators see of a connection: metrics, the access log, and what a denied peer must not see.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use ambit_tests::{Agent, Connection, Outcome, ask, manifest, until};

use crate::shop::{PATIENCE, PORT, Shop, seen};

/// The fields of a line in their order; an error comes last, where there is one.
const FIELDS: [&str; 14] = [
    "src.addr",
    "src.workload",
    "src.namespace",
    "src.identity",
    "dst.addr",
    "dst.hbone_addr",
    "dst.service",
    "dst.workload",
    "dst.namespace",
    "dst.identity",
    "direction",
    "bytes_sent",
    "bytes_recv",
    "duration",
];

#[test]
fn metrics_of_both_ends_count_the_same_connections_and_bytes() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut answered = 0;
    for _ in 0..3 {
        let mut connection =
            Connection::open(&shop.client.netns(), shop.service)?.map_err(|outcome| anyhow::anyhow!("{outcome:?}"))?;
        for _ in 0..2 {
            answered += connection.ask("0123456789").answer()?.len() + 1;
        }
    }
    for (node, reporter) in [(1, "source"), (2, "destination")] {
        let labels = labels(&shop, reporter);
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let agent = shop.mesh.agent(node)?;
        wait_closed(agent, &labels, 3.0)?;
        let metrics = agent.metrics()?;
        assert_eq!(metrics.sum("istio_tcp_connections_opened_total", &labels), 3.0, "{reporter}");
        // What the server received and sent, whoever reports.
        assert_eq!(metrics.sum("istio_tcp_received_bytes_total", &labels), 66.0, "{reporter}");
        assert_eq!(metrics.sum("istio_tcp_sent_bytes_total", &labels), answered as f64, "{reporter}");
        assert_eq!(metrics.sum("istio_tcp_connections_opened_total", &[]), 3.0, "no series but these");
    }
    Ok(())
}

#[test]
fn metrics_tell_a_plain_client_from_a_proved_one_and_a_denied_one_from_both() -> Result<()> {
    let mut shop = Shop::open()?;
    seen(&shop.plain.netns(), shop.web.at(PORT))?;
    let plain = [("connection_security_policy", "none"), ("source_principal", "unknown"), ("source_workload", "plain")];
    wait_closed(shop.mesh.agent(2)?, &plain, 1.0)?;
    let policy = manifest::policy("shop", "not-other", "web", "DENY", &["cluster.local/ns/shop/sa/other"]);
    shop.mesh.apply("policy.yaml", &policy, "not-other")?;
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    wait_closed(shop.mesh.agent(2)?, &[("response_flags", "DENY"), ("source_workload", "other")], 1.0)?;
    wait_closed(shop.mesh.agent(1)?, &[("response_flags", "CONNECT"), ("source_workload", "other")], 1.0)
}

#[test]
fn the_access_log_in_json_has_all_fields_in_order() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--access-log", "json")])?;
    seen(&shop.client.netns(), shop.service)?;
    for node in [1, 2] {
        let line = wait_json(shop.mesh.agent(node)?)?;
        let places: Vec<_> = FIELDS.into_iter().map(|name| (line.find(&format!("\"{name}\":")), name)).collect();
        assert!(places.iter().all(|(place, _)| place.is_some()) && places.is_sorted(), "{places:?} in {line}");
        let line: Value = serde_json::from_str(&line)?;
        let tunnel = shop.web.at(15008).to_string();
        let (target, direction) = (shop.web.at(PORT).to_string(), if node == 1 { "outbound" } else { "inbound" });
        for (name, value) in [
            ("src.workload", "client"),
            ("src.namespace", "shop"),
            ("src.identity", shop.client.identity().as_str()),
            ("dst.addr", tunnel.as_str()),
            ("dst.hbone_addr", target.as_str()),
            ("dst.service", "web.shop.svc.cluster.local"),
            ("dst.workload", "web"),
            ("dst.namespace", "shop"),
            ("dst.identity", shop.web.identity().as_str()),
            ("direction", direction),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        let ip = shop.client.ip4().to_string();
        assert!(line["src.addr"].as_str().is_some_and(|address| address.starts_with(&ip)), "{line}");
        let (own, others) = if node == 1 { ("bytes_sent", "bytes_recv") } else { ("bytes_recv", "bytes_sent") };
        assert_eq!(line[own], 4, "{line}");
        assert!(line[others].as_u64().is_some_and(|bytes| bytes > 4), "{line}");
        assert_eq!(line.get("error"), None, "{line}");
    }
    Ok(())
}

#[test]
fn an_access_log_that_is_off_is_empty_and_metrics_go_on() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[("--access-log", "off")])?;
    seen(&shop.client.netns(), shop.service)?;
    for node in [1, 2] {
        let agent = shop.mesh.agent(node)?;
        wait_closed(agent, &[], 1.0)?;
        assert!(agent.stop()?.success());
        assert_eq!(agent.access_text(), "");
    }
    Ok(())
}

#[test]
fn a_denial_is_explained_to_operators_and_not_to_the_client() -> Result<()> {
    let mut shop = Shop::open()?;
    let deny = manifest::policy("shop", "a-secret-name", "web", "DENY", &["cluster.local/ns/x/sa/x"]);
    let second_rule = "  - from:\n    - source:\n        principals: [cluster.local/ns/shop/sa/other]\n";
    shop.mesh.apply("policy.yaml", &(deny + second_rule), "a-secret-name")?;
    // Over a connection that is captured the end is a reset; a direct one is in tls.rs.
    assert_eq!(ask(&shop.other.netns(), shop.service, "who")?, Outcome::Reset);
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("src.workload") == "other")?;
    assert_eq!(line.error(), Some("denied: DENY policy shop/a-secret-name rule 1"));
    let line = shop.mesh.agent(1)?.wait_access(|line| line.field("src.workload") == "other")?;
    assert_eq!(line.error(), Some("the destination's node answered 401"));
    Ok(())
}

#[test]
fn a_cut_connection_is_logged_with_the_policy_that_cut_it() -> Result<()> {
    let mut shop = Shop::open()?;
    let mut open = Connection::established(&shop.client.netns(), shop.service)?;
    let policy = manifest::policy("shop", "nobody", "web", "ALLOW", &["cluster.local/ns/x/sa/x"]);
    shop.mesh.config.write("policy.yaml", &policy)?;
    assert_eq!(open.read(), Outcome::Reset, "a cut connection must not look complete");
    let line = shop.mesh.agent(2)?.wait_access(|line| line.error().is_some())?;
    assert!(line.error().is_some_and(|error| error.contains("changed") && error.contains("shop/nobody")), "{line:?}");
    let cuts = |agent: &Agent| agent.metrics().map(|metrics| metrics.sum("ambit_policy_cuts_total", &[]));
    assert_eq!(cuts(shop.mesh.agent(2)?)?, 1.0);
    Ok(())
}

#[test]
fn what_a_dry_run_policy_would_do_is_logged() -> Result<()> {
    let mut shop = Shop::open()?;
    let policy = manifest::policy("shop", "would-deny", "web", "DENY", &["cluster.local/ns/shop/sa/client"])
        .replace("metadata:\n", "metadata:\n  annotations: {istio.io/dry-run: \"true\"}\n");
    shop.mesh.apply("policy.yaml", &policy, "would-deny")?;
    seen(&shop.client.netns(), shop.service)?;
    shop.mesh.agent(2)?.wait_log("would-deny")
}

/// The labels of connections from `client` to `web` through the service.
fn labels(shop: &Shop, reporter: &str) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        ("reporter", reporter.to_owned()),
        ("source_principal", shop.client.identity()),
        ("destination_principal", shop.web.identity()),
        ("destination_service", "web.shop.svc.cluster.local".to_owned()),
        ("destination_service_namespace", "shop".to_owned()),
        ("destination_service_name", "web".to_owned()),
        ("request_protocol", "tcp".to_owned()),
        ("response_flags", "-".to_owned()),
        ("connection_security_policy", "mutual_tls".to_owned()),
    ]);
    for (name, client) in [
        ("source_workload", true),
        ("source_canonical_service", true),
        ("source_app", true),
        ("destination_workload", false),
        ("destination_canonical_service", false),
        ("destination_app", false),
    ] {
        labels.insert(name, if client { "client" } else { "web" }.to_owned());
    }
    for name in ["source_canonical_revision", "source_version", "destination_canonical_revision", "destination_version"]
    {
        labels.insert(name, "latest".to_owned());
    }
    for name in ["source_workload_namespace", "destination_workload_namespace"] {
        labels.insert(name, "shop".to_owned());
    }
    for name in ["source_cluster", "destination_cluster"] {
        labels.insert(name, "Kubernetes".to_owned());
    }
    labels
}

/// Waits until so many connections of these labels have been closed.
fn wait_closed(agent: &Agent, labels: &[(&str, &str)], count: f64) -> Result<()> {
    until(&format!("{count} closed connections with {labels:?}"), PATIENCE, || {
        let closed = agent.metrics().ok()?.sum("istio_tcp_connections_closed_total", labels);
        (closed == count).then_some(())
    })
    .with_context(|| agent.access_text())
}

/// Waits for the first line of an access log in JSON.
fn wait_json(agent: &Agent) -> Result<String> {
    until("a line of the access log", PATIENCE, || {
        agent.access_text().split_once('\n').map(|(line, _)| line.to_owned())
    })
}
