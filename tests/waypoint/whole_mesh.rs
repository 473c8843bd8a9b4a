//! The whole way: a captured client, its agent, the waypoint, the server's agent, a captured server.

use std::time::Duration;

use ambit_tests::{Mesh, Pod, PodSpec, Process, run, until, waypoint_binary};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::backend::Backend;

const PATIENCE: Duration = Duration::from_secs(15);
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";

#[test]
fn a_captured_client_is_routed_judged_and_seen_as_itself() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let version = |version: &str| PodSpec::new("shop", version, 2).label("app", "web").label("version", version);
    let versions = [mesh.pod(version("v1"))?, mesh.pod(version("v2"))?];
    let [service, _] = mesh.service("web", 8080)?;
    let uncaptured =
        |spec: PodSpec| spec.label("istio.io/dataplane-mode", "none").label("networking.istio.io/tunnel", "http");
    let waypoint = mesh.pod(uncaptured(PodSpec::new("shop", "wp", 2)).label("istio.io/use-waypoint", "none"))?;
    mesh.config.write("waypoint.yaml", &objects())?;
    let labels = json!({"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "wp"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}});
    mesh.config.write("namespace-shop.yaml", &namespace.to_string())?;
    let serve = |pod: &Pod| Backend::start(&pod.netns(), pod.name(), pod.ip4());
    let _backends = versions.iter().map(serve).collect::<Result<Vec<_>>>()?;
    mesh.start()?;
    let mut program = start(&mesh, &waypoint)?;

    let url = |path: &str| format!("http://{service}{path}");
    let answer = until("an answer through the waypoint", PATIENCE, || {
        let (status, seen) = curl(&client, &url("/hello"), &["-H", "x-version: 2"]).ok()?;
        (status == 200).then_some(seen)
    })
    .with_context(|| program.errors())?;
    ensure!(answer["pod"] == "v2", "the rule sends this to v2: {answer}");
    let peer = answer["peer"].as_str().unwrap_or_default();
    ensure!(peer.starts_with(&format!("{}:", client.ip4())), "the server sees {peer}");
    for _ in 0..5 {
        let (_, seen) = curl(&client, &url("/hello"), &[])?;
        ensure!(seen["pod"] == "v1", "the rule sends this to v1: {seen}");
    }
    let (status, _) = curl(&client, &url("/admin"), &[])?;
    ensure!(status == 403, "the policy denies this: {status}");
    let round = curl(&client, &format!("http://{}:8080/admin", versions[0].ip4()), &[]);
    ensure!(round.is_err(), "somebody went round the waypoint: {round:?}");

    program.kill()?;
    // Its connections to the servers were kept open until now.
    let line = mesh.agent(2)?.wait_access(|line| line.field("dst.workload") == "v2")?;
    ensure!(line.field("src.identity") == CLIENT, "the server's agent logged {line:?}");
    until("a refusal without the waypoint", PATIENCE, || curl(&client, &url("/hello"), &[]).is_err().then_some(()))
}

fn start(mesh: &Mesh, pod: &Pod) -> Result<Process> {
    let mut command = pod.netns().command(waypoint_binary()?);
    command.arg("--config").arg(mesh.config.path()).arg("--state").arg(mesh.world.directory().join("state"));
    command.args(["--name", "shop/wp", "--address", &pod.ip4().to_string()]);
    Process::start(command, mesh.world.directory(), "waypoint")
}

/// Status, and what the backend saw.
fn curl(from: &Pod, url: &str, more: &[&str]) -> Result<(u16, Value)> {
    let mut curl = from.netns().command("curl");
    let text = run(curl.args(["-s", "-S", "-m", "5", "-w", "\n%{http_code}"]).args(more).arg(url))?;
    let (body, status) = text.rsplit_once('\n').context("no status")?;
    Ok((status.parse()?, serde_json::from_str(body).unwrap_or_default()))
}

/// The waypoint, its rules, and a policy that hangs on the service.
fn objects() -> String {
    let web = |spec: &str, kind: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: shop}\n\
         spec:\n  gatewayClassName: istio-waypoint\n  listeners: [{name: mesh, port: 15008, protocol: HBONE}]\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {name: wp, namespace: shop, labels: {istio.io/use-waypoint: none}}\n\
         spec: {clusterIP: 10.110.0.99, selector: {app: wp}, ports: [{name: mesh, port: 15008}]}\n";
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {name: no-admin, namespace: shop}\n\
         spec:\n  targetRefs: [{kind: Service, name: web}]\n  action: DENY\n\
         \x20 rules: [{to: [{operation: {paths: [/admin]}}]}]\n";
    let routes = web(
        "{hosts: [web], http: [{match: [{headers: {x-version: {exact: '2'}}}], route: [{destination: {host: web, subset: v2}}]},
          {route: [{destination: {host: web, subset: v1}}]}]}",
        "VirtualService",
    );
    let subsets = web(
        "{host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
        "DestinationRule",
    );
    format!("{gateway}{routes}{subsets}{policy}")
}
