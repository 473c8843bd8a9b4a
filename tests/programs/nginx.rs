//! nginx, with curl and wrk.

use std::fs;

use anyhow::Result;

use crate::pair::{Pair, text};

#[test]
fn curl_and_wrk_to_nginx() -> Result<()> {
    let mut pair = Pair::new(8080)?;
    let folder = pair.folder("root")?;
    let file: Vec<u8> = (0_u32..4_000_000).flat_map(|number| number.to_le_bytes()).collect();
    fs::write(folder.join("big"), &file)?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(text(&folder)?))?;
    pair.serve(&["nginx", "-c", text(&config)?], &["curl", "-sf", "http://127.0.0.1:8080/who"])?;

    let base = format!("http://{}", pair.service);
    assert_eq!(pair.ask(&["curl", "-sf", &format!("{base}/who")])?, pair.client.ip4().to_string());

    let copy = folder.join("copy");
    pair.ask(&["curl", "-sf", "-o", text(&copy)?, &format!("{base}/big")])?;
    assert!(fs::read(&copy)? == file, "the file came back changed");

    let result = pair.ask(&["wrk", "-t", "1", "-c", "32", "-d", "2s", &format!("{base}/who")])?;
    assert!(result.contains(" requests in ") && !result.contains(" 0 requests in "), "{result}");
    assert!(!result.contains("Socket errors") && !result.contains("Non-2xx"), "{result}");
    pair.check_tunnelled()
}

fn configuration(folder: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         \x20 server {{\n    listen 8080;\n    root {folder};\n    location = /who {{ return 200 $remote_addr; }}\n  }}\n}}\n"
    )
}
