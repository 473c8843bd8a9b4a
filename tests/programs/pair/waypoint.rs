//! The waypoint of the namespace, between client and server.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use ambit_tests::{Mesh, Pod, PodSpec, Process, manifest, run, until, waypoint_binary};

const START_TIME: Duration = Duration::from_secs(20);

/// Number of the Service `server` among [`manifest::service_ips`], and of the waypoint's own.
const SERVER: u8 = 10;
const WAYPOINT: u8 = 99;

/// Writes a waypoint for the namespace, which is bound to it, and the Service `server`; gives the waypoint's pod.
/// A port is its name and number, and the server's.
pub(super) fn place(mesh: &mut Mesh, ports: &[(&str, u16, u16)]) -> Result<Pod> {
    let pod = PodSpec::new("shop", "wp", 2)
        .label("istio.io/dataplane-mode", "none")
        .label("networking.istio.io/tunnel", "http")
        .label("istio.io/use-waypoint", "none");
    let pod = mesh.pod(pod)?;
    let labels = json!({manifest::ENROLLED.0: manifest::ENROLLED.1, "istio.io/use-waypoint": "wp"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}});
    mesh.config.write("namespace-shop.yaml", &namespace.to_string())?;
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "wp", "namespace": "shop"},
        "spec": {
            "gatewayClassName": "istio-waypoint",
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
        },
    });
    mesh.config.write("gateway.yaml", &gateway.to_string())?;
    let port = |(name, port, target): &(&str, u16, u16)| json!({"name": name, "port": port, "targetPort": target});
    let own = service("wp", WAYPOINT, "none", &json!([{"name": "mesh", "port": 15008}]));
    mesh.config.write("service-wp.yaml", &own)?;
    let ports: Vec<_> = ports.iter().map(port).collect();
    mesh.config.write("service-server.yaml", &service("server", SERVER, "wp", &ports.into()))?;
    Ok(pod)
}

/// The address of the Service `server`.
pub(super) fn address() -> std::net::IpAddr {
    let [address, _] = manifest::service_ips(SERVER);
    address
}

fn service(app: &str, number: u8, waypoint: &str, ports: &Value) -> String {
    let [address, _] = manifest::service_ips(number);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app, "namespace": "shop", "labels": {"istio.io/use-waypoint": waypoint}},
        "spec": {"clusterIP": address, "selector": {"app": app}, "ports": ports},
    })
    .to_string()
}

/// Starts it, and waits until it is ready.
pub(super) fn start(mesh: &Mesh, pod: &Pod) -> Result<Process> {
    let mut command = pod.netns().command(waypoint_binary()?);
    command.arg("--config").arg(mesh.config.path()).arg("--state").arg(mesh.world.directory().join("state"));
    command.args(["--name", "shop/wp", "--address", &pod.ip4().to_string()]);
    let process = Process::start(command, mesh.world.directory(), "waypoint")?;
    let ready = ["-sf", "-m", "5", "http://127.0.0.1:15021/healthz/ready"];
    until("the waypoint's readiness", START_TIME, || run(pod.netns().command("curl").args(ready)).ok())
        .with_context(|| process.errors())?;
    Ok(process)
}
