//! Kubernetes' own ways to a pod stay open, however strict its mesh.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use ambit_tests::cluster::{App, Namespace, PATIENCE, client, strictness};
use ambit_tests::until;

use crate::mesh;

/// By name: the probe, and the pod's ports where it names them. All are on node 1.
const PROBES: [(&str, &str, &str); 8] = [
    ("http", "httpGet: {port: 8080, path: /debug}", ""),
    ("tcp", "tcpSocket: {port: 8078}", ""),
    ("grpc", "grpc: {port: 8079}", ""),
    ("exec", "exec: {command: [fortio, curl, -quiet, 'http://127.0.0.1:8080/debug']}", ""),
    ("host-port", "httpGet: {port: http, path: /debug}", "{name: http, containerPort: 8080, hostPort: 18080}"),
    (
        "host-port-by-loopback",
        "httpGet: {host: 127.0.0.1, port: 18081, path: /debug}",
        "{containerPort: 8080, hostPort: 18081}",
    ),
    ("host-port-by-node", "tcpSocket: {host: 10.243.0.11, port: 18082}", "{containerPort: 8078, hostPort: 18082}"),
    (
        "host-port-of-one-address",
        "httpGet: {host: 10.243.0.11, port: 18083, path: /debug}",
        "{containerPort: 8080, hostPort: 18083, hostIP: 10.243.0.11}",
    ),
];

#[test]
fn probes_of_every_kind_pass_under_strict() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("probes")?;
    shop.apply(&strictness("STRICT"))?;
    let pods = PROBES.map(|(name, probe, port)| {
        let all =
            ["startup", "readiness", "liveness"].map(|kind| format!("{kind}Probe: {{{probe}, periodSeconds: 1}}\n"));
        App::server(name).on(1).container(&(all.concat() + &format!("ports: [{port}]\n"))).pod()
    });
    let pods = shop.start(&pods, PROBES.map(|(name, ..)| name))?;
    for pod in &pods {
        pod.wait_enrolled(true)?;
    }
    let outside = Namespace::plain("probes-outside")?;
    let [plain, far] = outside.start(&[client("plain", 1), client("far", 2)], ["plain", "far"])?;
    for pod in &pods {
        plain.wait_refused(&format!("http://{}:8080/debug", pod.ip()?))?;
        assert!(pod.incarnation()?.ends_with("restarted 0 times"), "{}: {}", pod.name(), pod.incarnation()?);
    }
    // The node's own way in is nobody else's.
    for port in [18080, 18081, 18083] {
        for client in [&plain, &far] {
            client.wait_refused(&format!("http://10.243.0.11:{port}/debug"))?;
        }
    }
    shop.apply(&strictness("PERMISSIVE"))?;
    far.wait_answered("http://10.243.0.11:18081/debug")?;
    shop.all_ready()
}

#[test]
fn exec_logs_and_port_forward_work_under_strict() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("kubectl")?;
    shop.apply(&strictness("STRICT"))?;
    let [web] = shop.start(&[App::server("web").pod()], ["web"])?;
    web.wait_enrolled(true)?;
    assert_eq!(web.exec(&["hostname"])?.trim(), "web");
    assert!(web.log()?.contains("8080"), "the server's own log");
    let mut forward = Command::new("kubectl")
        .args(["--namespace", "kubectl", "port-forward", "pod/web", ":8080"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    // Kept to the end: kubectl does not survive the loss of its reader.
    let mut output = BufReader::new(forward.stdout.take().context("no output")?);
    output.read_line(&mut said)?;
    let port = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let asked = port.with_context(|| format!("kubectl said {said:?}")).and_then(|port| {
        let url = format!("http://127.0.0.1:{port}/debug");
        until("an answer over the forwarded port", PATIENCE, || {
            Command::new("fortio").args(["curl", "-quiet", &url]).output().ok().filter(|output| output.status.success())
        })
    });
    forward.kill()?;
    forward.wait()?;
    asked.map(drop)
}
