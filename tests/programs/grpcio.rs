//! gRPC's Python library as client and server, behind a waypoint.

use std::fs;

use anyhow::{Result, ensure};

use crate::pair::{Pair, text};

/// Debian's, which has the library: another may come first on the path.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn grpcio_calls_grpcio_in_every_manner() -> Result<()> {
    let mut pair = Pair::behind_waypoint(&[("grpc", 80, 8080)])?;
    let folder = pair.folder("root")?;
    let (client, server) = (folder.join("client.py"), folder.join("server.py"));
    fs::write(&client, include_str!("peers/grpc_client.py"))?;
    fs::write(&server, include_str!("peers/grpc_server.py"))?;
    let probe = "import socket; socket.create_connection(('127.0.0.1', 8080)).close()";
    pair.serve(&[PYTHON, text(&server)?], &[PYTHON, "-c", probe])?;
    let said = pair.ask(&[PYTHON, text(&client)?, &pair.service.to_string()])?;
    ensure!(said.trim() == "all as it should be", "{said}");
    pair.check_by_waypoint()
}
