//! Go's fortio, as client under load and as server, behind a waypoint.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::pair::Pair;

/// How many requests each load is.
const REQUESTS: u64 = 400;

#[test]
fn fortio_loads_fortio_over_each_protocol() -> Result<()> {
    let pair = &mut serve_fortio()?;
    let http = format!("http://{}/echo", pair.service);
    let rpc = format!("{}:81", pair.service.ip());
    let loads: [(&str, &[&str], &str, &str); 7] = [
        ("HTTP/1.1", &[], &http, "200"),
        ("HTTP/1.0", &["-http1.0", "-keepalive=false"], &http, "200"),
        ("a connection each", &["-keepalive=false"], &http, "200"),
        ("bodies", &["-stdclient", "-payload-size", "60000"], &http, "200"),
        ("HTTP/2", &["-stdclient", "-h2"], &http, "200"),
        ("gRPC", &["-grpc", "-s", "4"], &rpc, "SERVING"),
        ("gRPC with payload", &["-grpc", "-ping", "-s", "4", "-payload-size", "20000"], &rpc, "SERVING"),
    ];
    for (name, options, target, code) in loads {
        load(pair, options, target, code).with_context(|| name.to_owned())?;
    }
    pair.check_by_waypoint()
}

/// Fortio behind a waypoint: HTTP at the Service's port 80, gRPC at 81.
pub(crate) fn serve_fortio() -> Result<Pair> {
    let fortio = fortio()?;
    let mut pair = Pair::behind_waypoint(&[("http", 80, 8080), ("grpc", 81, 8079)])?;
    let mut server = vec![fortio.as_str(), "server", "-http-port=8080", "-grpc-port=8079"];
    server.extend(["-redirect-port=disabled", "-tcp-port=disabled", "-udp-port=disabled"]);
    pair.serve(&server, &["curl", "-sf", "http://127.0.0.1:8080/echo"])?;
    Ok(pair)
}

/// Makes the requests, all of which are to end with that code.
fn load(pair: &Pair, options: &[&str], target: &str, code: &str) -> Result<()> {
    let (fortio, count) = (fortio()?, REQUESTS.to_string());
    let mut command = vec![fortio.as_str(), "load", "-quiet", "-json=-", "-c=8", "-qps=0", "-n", &count];
    command.extend(options);
    command.push(target);
    let told: Value = serde_json::from_str(&pair.ask(&command)?).context("fortio's report")?;
    let codes = told.get("RetCodes").and_then(Value::as_object).context("no codes")?;
    ensure!(codes.len() == 1 && codes.get(code).and_then(Value::as_u64) == Some(REQUESTS), "{codes:?}");
    Ok(())
}

fn fortio() -> Result<String> {
    let named = std::env::var_os("AMBIT_FORTIO").and_then(|path| path.into_string().ok());
    named.context("AMBIT_FORTIO names no fortio: run `cargo xtask test programs`")
}
