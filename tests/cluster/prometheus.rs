//! Prometheus, inside and outside of the mesh, and what it can read of pods in it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use ambit_tests::cluster::{App, Namespace, Node, PATIENCE, Pod, strictness};
use ambit_tests::until;

use crate::mesh;

/// A pod that runs the machine's own Prometheus, which reads these targets as job `name`; ready when it answers.
fn prometheus(name: &str, node: u8, jobs: &[(&str, String)]) -> String {
    let job = |(name, target): &(&str, String)| {
        format!("    - {{job_name: {name}, metrics_path: /metrics, static_configs: [{{targets: [\"{target}\"]}}]}}\n")
    };
    let config = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  prometheus.yaml: |\n    \
         global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n    scrape_configs:\n{}",
        jobs.iter().map(job).collect::<String>()
    );
    // It needs the C library of the machine it is from.
    let folders = [("lib", "/usr/lib", "/lib"), ("lib64", "/usr/lib64", "/lib64"), ("bin", "/usr/bin", "/machine")];
    let mounts =
        folders.map(|(name, _, to)| format!("  - {{name: {name}, mountPath: {to}, readOnly: true}}\n")).concat();
    let volumes = folders.map(|(name, from, _)| format!("  - {{name: {name}, hostPath: {{path: {from}}}}}\n")).concat();
    let app = App::script(
        name,
        "exec /machine/prometheus --config.file=/config/prometheus.yaml --storage.tsdb.path=/tmp/data \
         --web.listen-address=:9090",
    );
    let app = app
        .on(node)
        .container(&format!("volumeMounts:\n  - {{name: config, mountPath: /config}}\n{mounts}"))
        .container("readinessProbe: {httpGet: {port: 9090, path: /-/ready}, periodSeconds: 1}")
        .spec(&format!("volumes:\n  - {{name: config, configMap: {{name: {name}}}}}\n{volumes}"));
    format!("{config}{}", app.pod().replacen("apiVersion", "---\napiVersion", 1))
}

/// The value of a query to the Prometheus of a pod, where it has one.
fn number(pod: &Pod, query: &str) -> Option<f64> {
    let url = format!("http://127.0.0.1:9090/api/v1/query?query={query}");
    let told: Value = serde_json::from_str(&pod.exec(&["wget", "-q", "-O", "-", &url]).ok()?).ok()?;
    told.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
}

/// Waits until a job is read, or in vain.
fn wait_up(pod: &Pod, job: &str, wanted: bool) -> Result<()> {
    let expected = Some(if wanted { 1.0 } else { 0.0 });
    let query = format!("up%7Bjob%3D%22{job}%22%7D");
    until(&format!("{}: up = {wanted} of {job}", pod.name()), PATIENCE, || {
        (number(pod, &query) == expected).then_some(())
    })
    .with_context(|| pod.exec(&["wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/targets"]).unwrap_or_default())
}

#[test]
fn prometheus_reads_meshed_pods_as_far_as_their_mode_lets_it() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("prometheus")?;
    // What is read of it is its own figures.
    let [web] = shop.start(&[prometheus("web", 2, &[])], ["web"])?;
    web.wait_enrolled(true)?;
    let agents = Node::ALL.map(|node| format!("{}:15020", node.ip()));
    let jobs = [("web", format!("{}:9090", web.ip()?)), ("agent1", agents[0].clone()), ("agent2", agents[1].clone())];
    let outside = Namespace::plain("prometheus-outside")?;
    let [plain] = outside.start(&[prometheus("plain", 1, &jobs)], ["plain"])?;
    let [meshed] = shop.start(&[prometheus("meshed", 1, &jobs)], ["meshed"])?;
    meshed.wait_enrolled(true)?;

    for pod in [&plain, &meshed] {
        wait_up(pod, "web", true)?;
        // The agents' own figures are for everybody, on the node's address.
        wait_up(pod, "agent1", true)?;
        wait_up(pod, "agent2", true)?;
        until("figures of the agents", PATIENCE, || {
            number(pod, "sum(istio_tcp_connections_opened_total)").filter(|opened| *opened >= 1.0)
        })?;
    }

    shop.apply(&strictness("STRICT"))?;
    wait_up(&plain, "web", false)?;
    wait_up(&meshed, "web", true)?;
    // It keeps its connections, so that there is no line of them in the log.
    let of_meshed = [
        ("reporter", "destination"),
        ("destination_workload", "web"),
        ("source_principal", "spiffe://cluster.local/ns/prometheus/sa/meshed"),
        ("connection_security_policy", "mutual_tls"),
    ];
    ensure!(web.agent()?.metrics()?.sum("istio_tcp_connections_opened_total", &of_meshed) >= 1.0);
    wait_up(&plain, "agent2", true)?;

    shop.apply(&strictness("PERMISSIVE"))?;
    wait_up(&plain, "web", true)
}
