//! redis, with redis-cli and redis-benchmark.

use anyhow::Result;

use crate::pair::{Pair, text};

#[test]
fn redis_cli_and_redis_benchmark() -> Result<()> {
    let mut pair = Pair::new(6379)?;
    let folder = pair.folder("root")?;
    let server = ["redis-server", "--port", "6379", "--protected-mode", "no", "--save", "", "--dir", text(&folder)?];
    pair.serve(&server, &["redis-cli", "ping"])?;

    let (host, port) = (pair.service.ip().to_string(), pair.service.port().to_string());
    let cli = ["redis-cli", "-h", &host, "-p", &port];
    assert_eq!(pair.ask(&[&cli[..], &["set", "colour", "green"]].concat())?.trim(), "OK");
    assert_eq!(pair.ask(&[&cli[..], &["get", "colour"]].concat())?.trim(), "green");
    let info = pair.ask(&[&cli[..], &["client", "info"]].concat())?;
    assert!(info.contains(&format!(" addr={}:", pair.client.ip4())), "{info}");

    let benchmark = ["redis-benchmark", "-h", &host, "-p", &port, "-t", "set,get", "-n", "5000", "-c", "16", "--csv"];
    for pipeline in ["1", "16"] {
        let result = pair.ask(&[&benchmark[..], &["-P", pipeline]].concat())?;
        assert!(result.contains("\"SET\",") && result.contains("\"GET\","), "{result}");
    }
    pair.check_tunnelled()
}
