//! curl in each version of HTTP, behind a waypoint.

use std::fs;

use anyhow::{Result, ensure};

use crate::fortio::serve_fortio;
use crate::pair::text;

#[test]
fn curl_in_each_version_with_and_without_bodies() -> Result<()> {
    let mut pair = serve_fortio()?;
    let url = format!("http://{}/echo", pair.service);
    let folder = pair.folder("root")?;
    let (sent, returned) = (folder.join("sent"), folder.join("returned"));
    // What fortio reads of a body at most.
    let body: Vec<u8> = (0_u32..60_000).flat_map(u32::to_le_bytes).collect();
    fs::write(&sent, &body)?;
    let told = ["-sS", "--max-time", "20", "-w", "%{http_version} %{http_code}"];
    for (option, version) in [("--http1.0", "1"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let ask = |more: &[&str]| pair.ask(&[&["curl", option][..], &told, more, &[&url]].concat());
        let seen = ask(&["-d", "hello"])?;
        ensure!(seen == format!("hello{version} 200"), "{option}: {seen}");
        let head = ask(&["--head"])?;
        ensure!(head.ends_with(&format!("{version} 200")), "{option}: {head}");

        for expect in ["Expect: 100-continue", "Expect:"] {
            let upload = ["-H", expect, "-X", "POST", "-T", text(&sent)?, "-o", text(&returned)?];
            let seen = ask(&upload)?;
            ensure!(seen == format!("{version} 200"), "{option}, {expect}: {seen}");
            ensure!(fs::read(&returned)? == body, "{option}, {expect}: the body came back changed");
        }
    }
    let refused =
        pair.ask(&[&["curl"][..], &told, &["-o", text(&returned)?, &format!("{url}?status=418")]].concat())?;
    ensure!(refused == "1.1 418", "{refused}");
    pair.check_by_waypoint()
}
