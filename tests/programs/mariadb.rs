//! MariaDB, whose server speaks first, with mariadb and mariadb-slap. The account is bound to the
//! client's own address.

use std::fs;
use std::process::Command;

use anyhow::Result;

use ambit_tests::run;

use crate::pair::{Pair, text};

#[test]
fn mariadb_and_mariadb_slap() -> Result<()> {
    let mut pair = Pair::new(3306)?;
    let folder = pair.folder("mysql")?;
    let folder = text(&folder)?;
    let data = format!("--datadir={folder}/data");
    run(Command::new("mariadb-install-db").args(["--no-defaults", "--user=mysql", "--skip-test-db", &data]))?;
    let (account, accounts) = (format!("'mesh'@'{}'", pair.client.ip4()), format!("{folder}/accounts.sql"));
    fs::write(&accounts, format!("CREATE USER {account};\nGRANT ALL ON *.* TO {account};\n"))?;
    let socket = format!("--socket={folder}/socket");
    let (init, pid) = (format!("--init-file={accounts}"), format!("--pid-file={folder}/pid"));
    let server = ["mariadbd", "--no-defaults", "--user=mysql", "--skip-name-resolve", "--bind-address=*"];
    let settings = [data.as_str(), &socket, &init, &pid, "--innodb-flush-log-at-trx-commit=0"];
    let probe = ["mariadb", "--no-defaults", &socket, "-e", "select 1"];
    pair.serve(&[&server[..], &settings].concat(), &probe)?;

    let (host, port) = (format!("--host={}", pair.service.ip()), format!("--port={}", pair.service.port()));
    // Newer clients would have TLS of their own, and believe no certificate that the server made itself.
    let at = ["--no-defaults", &host, &port, "--user=mesh", "--skip-ssl"];
    let query = |text: &str| pair.ask(&[&["mariadb"], &at[..], &["-BN", "-e", text]].concat());
    assert_eq!(query("select user()")?.trim(), format!("mesh@{}", pair.client.ip4()));
    assert_eq!(query("select repeat('x', 1000000)")?.trim().len(), 1_000_000);

    let load = ["--auto-generate-sql", "--concurrency=4", "--number-of-queries=200"];
    let result = pair.ask(&[&["mariadb-slap"], &at[..], &load].concat())?;
    assert!(result.contains("Number of clients running queries: 4"), "{result}");
    pair.check_tunnelled()
}
