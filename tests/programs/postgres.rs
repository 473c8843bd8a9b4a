//! PostgreSQL, with psql and pgbench. The server lets only the client's own address in.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use ambit_tests::run;

use crate::pair::{Pair, text};

/// As the user that the package makes: the server refuses to run as root.
const AS_POSTGRES: [&str; 4] = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];

#[test]
fn psql_and_pgbench() -> Result<()> {
    let mut pair = Pair::new(5432)?;
    let folder = pair.folder("postgres")?;
    let (folder, programs) = (text(&folder)?, programs()?);
    let data = format!("{folder}/data");
    let [initdb, postgres] = ["initdb", "postgres"].map(|name| programs.join(name));

    let initialise = [text(&initdb)?, "--auth=trust", "--no-sync", "-U", "postgres", "-D", &data];
    run(std::process::Command::new(AS_POSTGRES[0]).args(&AS_POSTGRES[1..]).args(initialise).current_dir(folder))?;
    fs::write(
        format!("{data}/pg_hba.conf"),
        format!("host all all 127.0.0.1/32 trust\nhost all all {}/32 trust\n", pair.client.ip4()),
    )?;
    let server = [text(&postgres)?, "-D", &data, "-k", folder, "-c", "listen_addresses=*", "-c", "fsync=off"];
    let probe = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-c", "select 1"];
    pair.serve(&[&AS_POSTGRES[..], &server].concat(), &probe)?;

    let (host, port) = (pair.service.ip().to_string(), pair.service.port().to_string());
    let at = ["-h", &host, "-p", &port, "-U", "postgres", "postgres"];
    let psql = |query: &str| pair.ask(&[&["psql", "-At", "-c", query], &at[..]].concat());
    assert_eq!(psql("select host(inet_client_addr())")?.trim(), pair.client.ip4().to_string());
    assert_eq!(psql("select sum(n) from generate_series(1, 100000) n")?.trim(), "5000050000");

    pair.ask(&[&["pgbench", "-q", "-i"], &at[..]].concat())?;
    let result = pair.ask(&[&["pgbench", "-c", "4", "-t", "100"], &at[..]].concat())?;
    assert!(result.contains("actually processed: 400/400"), "{result}");
    assert!(result.contains("failed transactions: 0 "), "{result}");
    pair.check_tunnelled()
}

/// The folder of the newest installed version.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("package postgresql is not installed")?;
    let newest = versions.flatten().map(|version| version.path()).max();
    Ok(newest.context("no version of PostgreSQL is installed")?.join("bin"))
}
