//! Prometheus, reading the metrics of a waypoint.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use ambit_tests::until;

use crate::fortio::serve_fortio;
use crate::pair::{Pair, text};

const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn prometheus_counts_what_a_waypoint_served() -> Result<()> {
    let pair = serve_fortio()?;
    let folder = pair.folder("root")?;
    let (config, data) = (folder.join("prometheus.yaml"), folder.join("data"));
    fs::write(&config, CONFIG)?;
    let (config, data) = (format!("--config.file={}", text(&config)?), format!("--storage.tsdb.path={}", text(&data)?));
    let place = pair.waypoint_pod()?;
    let program = ["prometheus", &config, &data, "--web.listen-address=127.0.0.1:9090"];
    let _prometheus = pair.start_in(place, &program, "prometheus")?;

    // Before the first is counted, so that there is growth to be seen.
    until("a first reading", PATIENCE, || (number(&pair, "up").ok()? == Some(1.0)).then_some(()))?;
    let url = format!("http://{}/echo", pair.service);
    for (query, times) in [("", 12), ("?status=503", 3)] {
        for _ in 0..times {
            pair.ask(&["curl", "-s", "-o", "/dev/null", "-d", "hello", &format!("{url}{query}")])?;
        }
    }
    let labels = "reporter='waypoint',source_workload='client',destination_service_name='server',request_protocol='http',\
                  connection_security_policy='mutual_tls'";
    for (query, expected) in [
        (format!("sum(istio_requests_total{{{labels},response_code='200'}})"), 12.0),
        (format!("sum(istio_requests_total{{{labels},response_code='503'}})"), 3.0),
        (format!("sum(istio_request_duration_milliseconds_count{{{labels}}})"), 15.0),
        (format!("sum(istio_request_bytes_sum{{{labels}}}) >= bool 75"), 1.0),
        (
            format!(
                "histogram_quantile(0.5, sum by (le) (istio_request_duration_milliseconds_bucket{{{labels}}})) > bool 0"
            ),
            1.0,
        ),
    ] {
        until(&query, PATIENCE, || (number(&pair, &query).ok()? == Some(expected)).then_some(()))?;
    }
    let health = ask(&pair, "targets")?;
    let target = health.pointer("/data/activeTargets/0/lastError").and_then(Value::as_str);
    ensure!(target == Some(""), "{health}");
    Ok(())
}

/// The value of a query, where it has one.
fn number(pair: &Pair, query: &str) -> Result<Option<f64>> {
    let told = ask(pair, &format!("query?query={}", encoded(query)))?;
    let value = told.pointer("/data/result/0/value/1").and_then(Value::as_str);
    Ok(value.and_then(|value| value.parse().ok()))
}

fn ask(pair: &Pair, what: &str) -> Result<Value> {
    let url = format!("http://127.0.0.1:9090/api/v1/{what}");
    let mut curl = pair.waypoint_pod()?.netns().command("curl");
    Ok(serde_json::from_str(&ambit_tests::run(curl.args(["-sS", "--max-time", "5", &url]))?)?)
}

/// As part of a URL.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

const CONFIG: &str = "\
global: {scrape_interval: 1s}
scrape_configs:
- job_name: waypoint
  metrics_path: /metrics
  static_configs: [{targets: ['127.0.0.1:15020']}]
";
