//! Node's `ws` as client and server, behind a waypoint.

use std::fs;

use anyhow::{Result, ensure};

use crate::pair::{Pair, text};

/// Where Debian has Node's modules.
const MODULES: &str = "NODE_PATH=/usr/share/nodejs";

#[test]
fn a_websocket_carries_messages_pings_and_its_end() -> Result<()> {
    let mut pair = Pair::behind_waypoint(&[("http", 80, 8080)])?;
    let folder = pair.folder("root")?;
    let (client, server) = (folder.join("client.js"), folder.join("server.js"));
    fs::write(&client, include_str!("peers/ws_client.js"))?;
    fs::write(&server, include_str!("peers/ws_server.js"))?;
    // An answer of any status: it listens.
    pair.serve(&["env", MODULES, "node", text(&server)?], &["curl", "-s", "http://127.0.0.1:8080/"])?;
    let said = pair.ask(&["env", MODULES, "node", text(&client)?, &format!("ws://{}/chat", pair.service)])?;
    ensure!(said.trim() == "all as it should be", "{said}");
    pair.check_by_waypoint()
}
