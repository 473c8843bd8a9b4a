//! Canary waypoints: two waypoints share the connections to what is behind them, by weight.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use ambit_tests::cluster::{Agent, Namespace, Node, PATIENCE, Pod, Report, client, kubectl, object, server};
use ambit_tests::until;

use crate::mesh;
use crate::waypoints::{behind_a_waypoint, bind, deploy_as, status};

const URL: &str = "http://web/debug";
/// Of a hundred connections.
const PERCENT: u8 = 30;
/// How many are counted.
const CONNECTIONS: u64 = 300;
/// How many of these the canary may have: six standard deviations of the binomial distribution, each 7.9, around 90.
const SHARE: RangeInclusive<u64> = 42..=138;

/// Gives what is behind `waypoint` in a namespace the canary `next`, and waits until all agents and itself know.
fn weigh(shop: &Namespace, percent: u8) -> Result<()> {
    let weight = format!("istio.io/use-waypoint-canary-weight={percent}");
    kubectl(&["annotate", "--overwrite", "namespace", shop.name(), &weight])?;
    kubectl(&["label", "--overwrite", "namespace", shop.name(), "istio.io/use-waypoint-canary=next"])?;
    wait_known(shop, Some(percent))?;
    let pod = pod(shop, "next")?;
    let web = web(shop);
    until(&format!("the canary knows of {percent}%"), PATIENCE, || {
        let dump: Value = serde_json::from_str(&pod.admin("/config_dump").ok()?).ok()?;
        let service = dump.pointer("/services")?.as_array()?.iter().find(|it| it.get("hostname") == Some(&web))?;
        (service.pointer("/canary/percent") == Some(&Value::from(percent))).then_some(())
    })
}

fn web(shop: &Namespace) -> Value {
    format!("web.{}.svc.cluster.local", shop.name()).into()
}

fn pod(shop: &Namespace, waypoint: &str) -> Result<Pod> {
    let pods = shop.pods(&format!("gateway.networking.k8s.io/gateway-name={waypoint}"))?;
    pods.into_iter().next().with_context(|| format!("no pod of {waypoint}"))
}

/// Waits until all agents know of a canary with so many of a hundred connections, or of none.
fn wait_known(shop: &Namespace, percent: Option<u8>) -> Result<()> {
    let web = web(shop);
    let web = web.as_str().unwrap_or_default();
    let expected = percent.map(Value::from);
    for node in Node::ALL {
        let agent = Agent::on(node)?;
        until(&format!("canary at {percent:?}, on {}", node.name()), PATIENCE, || {
            let service = agent.service(web).ok()?;
            (service.pointer("/canary/percent") == expected.as_ref()).then_some(())
        })?;
    }
    Ok(())
}

/// The requests that a waypoint of a namespace has had.
fn carried(shop: &Namespace, waypoint: &str) -> Result<u64> {
    let sum = pod(shop, waypoint)?.metrics()?.sum("istio_requests_total", &[("reporter", "waypoint")]);
    // A whole number, and less than 2^53.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
    Ok(sum as u64)
}

/// So many requests, each over a connection of its own; how many of them the canary had.
fn share(shop: &Namespace, client: &Pod) -> Result<u64> {
    let count = || -> Result<[u64; 2]> { Ok([carried(shop, "waypoint")?, carried(shop, "next")?]) };
    let before = count()?;
    let number = CONNECTIONS.to_string();
    let load =
        ["fortio", "load", "-n", &number, "-c", "4", "-qps", "0", "-keepalive=false", "-quiet", "-json", "-", URL];
    let report: Report = serde_json::from_str(&client.exec(&load)?)?;
    report.all_answered()?;
    until("all requests, at the waypoints", PATIENCE, || {
        let now = count().ok()?;
        let had = [now[0] - before[0], now[1] - before[1]];
        (had[0] + had[1] >= report.answered()).then_some(had[1])
    })
}

/// A denial of one path, by each of some waypoints for all that is behind it.
fn denial(waypoints: &[&str]) -> String {
    let target = |name: &&str| format!("{{group: gateway.networking.k8s.io, kind: Gateway, name: {name}}}");
    let targets: Vec<_> = waypoints.iter().map(target).collect();
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: denial}}\nspec:\n  \
         action: DENY\n  targetRefs: [{}]\n  rules: [{{to: [{{operation: {{paths: [/denied]}}}}]}}]\n",
        targets.join(", ")
    )
}

#[test]
fn two_waypoints_share_connections_by_weight() -> Result<()> {
    mesh::with_gateway_api()?;
    let shop = Namespace::meshed("canary")?;
    let [client, web] = shop.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    for pod in [&client, &web] {
        pod.wait_enrolled(true)?;
    }
    ["waypoint", "next"].iter().try_for_each(|name| deploy_as(&shop, name))?;
    bind(&shop)?;
    weigh(&shop, 0)?;
    client.wait_answered(URL)?;
    assert_eq!(share(&shop, &client)?, 0, "no weight, no connections");
    weigh(&shop, PERCENT)?;
    let had = share(&shop, &client)?;
    ensure!(SHARE.contains(&had), "{had} of {CONNECTIONS}");
    let service = object(&["--namespace", shop.name(), "service", "web"])?.to_string();
    ensure!(service.contains("30% of connections behind canary/next"), "{service}");

    // A rule that only one of them has would be a way past it.
    shop.apply(&denial(&["waypoint"]))?;
    wait_known(&shop, None)?;
    assert_eq!(status(&client, "http://web/denied")?, "403 Forbidden");
    assert_eq!(share(&shop, &client)?, 0, "the canary lacks a rule");
    shop.apply(&denial(&["waypoint", "next"]))?;
    wait_known(&shop, Some(PERCENT))?;
    let before = carried(&shop, "next")?;
    until("a denial at the canary", PATIENCE, || {
        (status(&client, "http://web/denied").ok()? == "403 Forbidden" && carried(&shop, "next").ok()? > before)
            .then_some(())
    })?;
    let round = format!("http://{}:8080/debug", web.ip()?);
    ensure!(client.ask(&round).is_err(), "the pod's own address leads past the policy");

    // No share is lost at one that is gone.
    shop.kubectl(&["delete", "gateway", "next"])?;
    wait_known(&shop, None)?;
    for _ in 0..20 {
        client.ask(URL)?;
    }
    Ok(())
}

#[test]
fn a_canary_comes_and_goes_without_a_failed_request() -> Result<()> {
    mesh::with_gateway_api()?;
    let traffic = behind_a_waypoint("canary-ramp")?;
    deploy_as(&traffic.shop, "next")?;
    traffic.undisturbed_by(|| {
        for percent in [0, 50, 100, 50, 0] {
            weigh(&traffic.shop, percent)?;
        }
        Ok(())
    })?;
    ensure!(carried(&traffic.shop, "next")? > 0, "the canary had nothing of it");
    Ok(())
}
