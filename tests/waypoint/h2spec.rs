//! h2spec, the conformance suite of HTTP/2, against the waypoint: each of its cases, the strict ones among them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use ambit_tests::Process;
use anyhow::{Context, Result, ensure};

use crate::case::{Shop, run};
use crate::scene::WEB;

/// Cases that fail, each with the reason why it stays so.
const ACCEPTED: &[(&str, &str)] = &[(
    "http2/3.5 Sends invalid connection preface",
    "the port speaks HTTP/1 too: what does not begin as HTTP/2 is answered 400 in HTTP/1, and the connection ends",
)];

/// How often it is waited for, as long as for anything else.
const PATIENCE: u8 = 6;

/// Fewer cases than it has would mean that it broke off.
const CASES: usize = 140;

#[test]
fn h2spec_finds_nothing_that_is_not_known() -> Result<()> {
    run("", |shop: &mut Shop| {
        let listener = shop.scene.netns().run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))??;
        let port = listener.local_addr()?.port().to_string();
        shop.client.lead(listener, (WEB, 80))?;
        let folder = shop.scene.folder.path();
        let report = folder.join("h2spec.xml");
        let mut h2spec = shop.scene.netns().command(h2spec()?);
        h2spec.args(["--strict", "--timeout", "5", "--port", &port, "--junit-report"]).arg(&report);
        let mut h2spec = Process::start(h2spec, folder, "h2spec")?;
        // It ends in failure where any case does: the report says which.
        let mut has_ended = || shop.client.until("the end of h2spec", || h2spec.ended()).is_ok();
        ensure!((0..PATIENCE).any(|_| has_ended()), "h2spec takes for ever");
        let report = fs::read_to_string(&report).with_context(|| format!("no report: {}", h2spec.errors()))?;
        let cases = cases(&report);
        ensure!(cases.len() >= CASES, "{} cases in {report}", cases.len());
        let failed: Vec<_> = cases.iter().filter(|(_, failed)| *failed).map(|(name, _)| name.as_str()).collect();
        let unknown: Vec<_> = failed.iter().filter(|name| !ACCEPTED.iter().any(|(known, _)| known == *name)).collect();
        ensure!(unknown.is_empty(), "failing: {unknown:#?}\n{}", h2spec.output());
        let mended: Vec<_> = ACCEPTED.iter().filter(|(known, _)| !failed.contains(known)).collect();
        ensure!(mended.is_empty(), "no longer failing: {mended:#?}");
        Ok(())
    })
}

/// The cases of a report, and whether each failed.
fn cases(report: &str) -> Vec<(String, bool)> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let case = |part: &str| {
        let (tag, rest) = part.split_once('>')?;
        let inside = if tag.ends_with('/') { "" } else { rest.split_once("</testcase>")?.0 };
        let name = format!("{} {}", attribute(tag, "package")?, attribute(tag, "classname")?);
        Some((name, inside.contains("<failure") || inside.contains("<error")))
    };
    report.split("<testcase ").skip(1).filter_map(case).collect()
}

fn h2spec() -> Result<String> {
    let named = std::env::var_os("AMBIT_H2SPEC").and_then(|path| path.into_string().ok());
    named.context("AMBIT_H2SPEC names no h2spec: run `cargo xtask test waypoint`")
}
