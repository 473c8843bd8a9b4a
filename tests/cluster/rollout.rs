//! A Deployment is replaced while it is asked.

use anyhow::Result;

use ambit_tests::cluster::{Load, Namespace, client, deployment};

use crate::mesh;

#[test]
fn a_rollout_fails_no_request() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("rollout")?;
    let [client] = shop.start(&[client("client", 1), deployment("web", 3)], ["client"])?;
    client.wait_enrolled(true)?;
    for web in shop.pods("app=web")? {
        web.wait_enrolled(true)?;
    }
    let load = Load::of_connections(&client, "http://web/debug")?;
    for _ in 0..2 {
        shop.kubectl(&["rollout", "restart", "deployment/web"])?;
        shop.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"])?;
    }
    let report = load.stop()?;
    println!("{report:?}");
    report.all_answered()
}
