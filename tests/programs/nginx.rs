//! nginx, with curl and wrk.

use std::fs;

use anyhow::{Result, ensure};

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

#[test]
fn curl_and_wrk_to_nginx_behind_a_waypoint() -> Result<()> {
    let mut pair = Pair::behind_waypoint(&[("http", 80, 8080)])?;
    let folder = pair.folder("root")?;
    let file: Vec<u8> = (0_u32..4_000_000).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.join("big"), &file)?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(text(&folder)?))?;
    pair.serve(&["nginx", "-c", text(&config)?], &["curl", "-sf", "http://127.0.0.1:8080/who"])?;

    let base = format!("http://{}", pair.service);
    let (who, big, copy) = (format!("{base}/who"), format!("{base}/big"), folder.join("copy"));
    // The waypoint speaks to it as the client.
    assert_eq!(pair.ask(&["curl", "-sf", &who])?, pair.client.ip4().to_string());
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let curl = ["curl", "-sf", version, "-o", text(&copy)?];
        pair.ask(&[&curl[..], &[&big]].concat())?;
        ensure!(fs::read(&copy)? == file, "{version}: the file came back changed");
        pair.ask(&[&curl[..], &["--range", "1000-1999", &big]].concat())?;
        ensure!(fs::read(&copy)?.as_slice() == file.get(1000..2000).unwrap_or_default(), "{version}: another range");
    }
    let status = |more: &[&str]| pair.ask(&[&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"], more].concat());
    let head = pair.ask(&["curl", "-sf", "--head", &big])?;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().trim();
    ensure!(status(&["-H", &format!("If-None-Match: {tag}"), &big])? == "304", "{head}");
    ensure!(status(&[&format!("{base}/nothing")])? == "404", "there is nothing");

    let result = pair.ask(&["wrk", "-t", "1", "-c", "32", "-d", "2s", &who])?;
    ensure!(result.contains(" requests in ") && !result.contains(" 0 requests in "), "{result}");
    ensure!(!result.contains("Socket errors") && !result.contains("Non-2xx"), "{result}");
    pair.check_by_waypoint()
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
