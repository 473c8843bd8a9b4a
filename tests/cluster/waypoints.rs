//! Waypoints as users have them: a Gateway is applied, a namespace is labelled, and objects take effect.

use std::thread;

use anyhow::{Context, Result, ensure};

use ambit_tests::cluster::{Namespace, PATIENCE, Pod, client, kubectl, object, server};
use ambit_tests::until;

use crate::mesh;
use crate::traffic::{Loaded, URL};

/// A Gateway of waypoints' class.
fn gateway(name: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec:\n  \
         gatewayClassName: istio-waypoint\n  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]\n"
    )
}

/// What is made for a Gateway.
const MADE: [&str; 6] = [
    "serviceaccount/waypoint",
    "configmap/waypoint-roots",
    "deployment/waypoint",
    "service/waypoint",
    "horizontalpodautoscaler/waypoint",
    "poddisruptionbudget/waypoint",
];

/// A waypoint in a namespace, as soon as it is told to be ready.
fn deploy(shop: &Namespace) -> Result<()> {
    deploy_as(shop, "waypoint")
}

/// The same by another name.
pub(crate) fn deploy_as(shop: &Namespace, name: &str) -> Result<()> {
    shop.apply(&gateway(name))?;
    let gateway = format!("gateway/{name}");
    let programmed = shop.kubectl(&["wait", &gateway, "--for=condition=Programmed", "--timeout=90s"]);
    programmed
        .map(drop)
        .map_err(|error| error.context(shop.kubectl(&["describe", "pods,deployments"]).unwrap_or_default()))
}

/// Puts all of a namespace behind its waypoint.
pub(crate) fn bind(shop: &Namespace) -> Result<()> {
    kubectl(&["label", "--overwrite", "namespace", shop.name(), "istio.io/use-waypoint=waypoint"]).map(drop)
}

/// A VirtualService that adds a header to requests for a service.
fn routed(service: &str, header: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {service}}}\nspec:\n  \
         hosts: [{service}]\n  http:\n  - headers: {{request: {{set: {{x-routed: {header}}}}}}}\n    \
         route: [{{destination: {{host: {service}}}}}]\n"
    )
}

/// The status of an answer.
pub(crate) fn status(from: &Pod, url: &str) -> Result<String> {
    let script = format!("wget -S -O /dev/null {url} 2>&1 || true");
    let said = from.exec(&["sh", "-c", &script])?;
    let line = said.lines().find_map(|line| line.trim().strip_prefix("HTTP/1.1 "));
    Ok(line.with_context(|| format!("no answer: {said}"))?.to_owned())
}

#[test]
fn a_gateway_becomes_a_waypoint_and_goes_with_it() -> Result<()> {
    mesh::with_gateway_api()?;
    let shop = Namespace::meshed("waypoint-deployed")?;
    deploy(&shop)?;
    for object in MADE {
        shop.kubectl(&["get", object])?;
    }
    let gateway = object(&["--namespace", shop.name(), "gateway", "waypoint"])?;
    let service = object(&["--namespace", shop.name(), "service", "waypoint"])?;
    let address = gateway.pointer("/status/addresses/0/value").context("a waypoint without an address")?;
    assert_eq!(Some(address), service.pointer("/spec/clusterIP"));
    shop.kubectl(&["delete", "gateway", "waypoint"])?;
    for object in MADE {
        until(&format!("the end of {object}"), PATIENCE, || shop.kubectl(&["get", object]).is_err().then_some(()))?;
    }
    Ok(())
}

#[test]
fn objects_take_effect_from_the_first_request_on() -> Result<()> {
    mesh::with_gateway_api()?;
    let shop = Namespace::meshed("waypoint-objects")?;
    let manifests = [client("client", 1), client("other", 1), server("web", 2), server("api", 1)];
    let pods = shop.start(&manifests, ["client", "other", "web", "api"])?;
    pods.iter().try_for_each(|pod| pod.wait_enrolled(true))?;
    let [client, other, web, _] = pods;
    shop.apply(&routed("web", "by-virtual-service"))?;
    shop.apply(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: api}\nspec:\n  \
         parentRefs: [{group: '', kind: Service, name: api, port: 80}]\n  rules:\n  \
         - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-routed, value: by-http-route}]}}]\n    \
         backendRefs: [{name: api, port: 80}]\n",
    )?;
    shop.apply(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: only-client}\nspec:\n  \
         targetRefs: [{kind: Service, group: '', name: web}]\n  rules:\n  \
         - from: [{source: {principals: [cluster.local/ns/waypoint-objects/sa/client]}}]\n    \
         to: [{operation: {methods: [GET], paths: [/debug]}}]\n",
    )?;
    // Bound before there is a waypoint: refused until there is.
    bind(&shop)?;
    client.wait_refused("http://web/debug")?;
    deploy(&shop)?;

    let answer = client.ask("http://web/debug")?;
    ensure!(answer.contains("by-virtual-service"), "{answer}");
    let answer = client.ask("http://api/debug")?;
    ensure!(answer.contains("by-http-route"), "{answer}");
    for (pod, path, expected) in
        [(&client, "debug", "200 OK"), (&client, "other", "403 Forbidden"), (&other, "debug", "403 Forbidden")]
    {
        let status = status(pod, &format!("http://web/{path}"))?;
        ensure!(status == expected, "{} /{path}: {status}", pod.name());
    }
    // The waypoint vouches for its client.
    web.agent()?.wait_access(|line| {
        line.field("direction") == "inbound"
            && line.field("dst.workload") == "web"
            && line.field("src.identity").ends_with("/sa/client")
    })?;
    // Nobody goes round it.
    let past = format!("http://{}:8080/debug", web.ip()?);
    ensure!(client.ask(&past).is_err(), "the pod's own address leads past the policy");

    // Without its waypoint nothing is reached, and with another one everything again.
    shop.kubectl(&["delete", "gateway", "waypoint"])?;
    client.wait_refused("http://web/debug")?;
    client.wait_refused("http://api/debug")?;
    deploy(&shop)?;
    client.ask("http://web/debug").map(drop)
}

#[test]
fn a_rollout_of_a_waypoint_fails_no_request() -> Result<()> {
    mesh::with_gateway_api()?;
    let traffic = behind_a_waypoint("waypoint-rollout")?;
    traffic.undisturbed_by(|| {
        for _ in 0..2 {
            traffic.shop.kubectl(&["rollout", "restart", "deployment/waypoint"])?;
            traffic.shop.kubectl(&["rollout", "status", "deployment/waypoint", "--timeout=120s"])?;
        }
        // The predecessor goes on until it has ended.
        let pods = ["--selector=gateway.networking.k8s.io/gateway-name=waypoint", "--output=name"];
        until("one waypoint", PATIENCE, || {
            let pods = traffic.shop.kubectl(&[&["get", "pods"], &pods[..]].concat()).ok()?;
            (pods.lines().count() == 1).then_some(())
        })
    })
}

#[test]
fn without_a_control_plane_a_waypoint_goes_on() -> Result<()> {
    mesh::with_gateway_api()?;
    let traffic = behind_a_waypoint("waypoint-alone")?;
    traffic.undisturbed_by(|| {
        mesh::control_planes(0)?;
        thread::sleep(mesh::outage());
        mesh::control_planes(2)
    })?;
    // What is new it learns.
    traffic.shop.apply(&routed("web", "afterwards"))?;
    until("the new rule", PATIENCE, || traffic.clients[0].ask(URL).ok()?.contains("afterwards").then_some(()))
}

#[test]
fn a_waypoint_is_told_of_what_concerns_it_only() -> Result<()> {
    mesh::with_gateway_api()?;
    let shops = ["waypoint-one", "waypoint-two"].map(|name| -> Result<Namespace> {
        let shop = Namespace::meshed(name)?;
        bind(&shop)?;
        let [web] = shop.start(&[server("web", 1)], ["web"])?;
        web.wait_enrolled(true)?;
        shop.apply(&routed("web", name))?;
        deploy(&shop)?;
        Ok(shop)
    });
    let [one, two] = shops;
    let (one, two) = (one?, two?);
    for (own, other) in [(&one, &two), (&two, &one)] {
        let waypoint = own.pods("gateway.networking.k8s.io/gateway-name=waypoint")?;
        let dump = waypoint.first().context("no waypoint")?.admin("/config_dump")?;
        let dump: serde_json::Value = serde_json::from_str(&dump)?;
        let objects = dump.pointer("/objects").context("no objects")?.to_string();
        ensure!(objects.contains(&format!("VirtualService {}/web", own.name())), "{objects}");
        ensure!(!objects.contains(other.name()), "{objects}");
    }
    Ok(())
}

/// A namespace with load, all of it through a waypoint.
pub(crate) fn behind_a_waypoint(name: &str) -> Result<Loaded> {
    let traffic = Loaded::prepare(name)?;
    traffic.shop.apply(&routed("web", "through-the-waypoint"))?;
    deploy(&traffic.shop)?;
    bind(&traffic.shop)?;
    until("the way through the waypoint", PATIENCE, || {
        traffic.clients[0].ask(URL).ok()?.contains("through-the-waypoint").then_some(())
    })?;
    Ok(traffic)
}
