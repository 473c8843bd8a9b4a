//! What happens while the waypoint runs: changes, and its end.

use std::time::Duration;

use ambit_tests::until;
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::case::{Shop, run, to_api, to_web, virtual_service};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn changes_under_load_lose_no_request() -> Result<()> {
    run(&to_web("timeout: 10s"), |shop: &mut Shop| {
        for round in 0..40 {
            let to = if round % 2 == 0 { to_api("match: [{uri: {prefix: /}}]") } else { to_web("timeout: 10s") };
            shop.scene.write(&to)?;
            for _ in 0..5 {
                shop.get("/").answers(200)?;
            }
        }
        shop.scene.write(&to_api("match: [{uri: {prefix: /}}]"))?;
        until("the last change", PATIENCE, || shop.get("/").lands_on("api").ok().map(drop))
    })
}

#[test]
fn a_broken_object_leaves_its_last_valid_version_in_force() -> Result<()> {
    run(&to_api("match: [{uri: {prefix: /}}]"), |shop: &mut Shop| {
        shop.get("/").lands_on("api")?;
        shop.scene
            .write(&virtual_service("http: [{match: [{uri: {regex: '('}}], route: [{destination: {host: web}}]}]"))?;
        until("the complaint", PATIENCE, || shop.scene.log().contains("spec.http[0].match[0].uri").then_some(()))?;
        shop.get("/").lands_on("api").map(drop)
    })
}

#[test]
fn asked_to_end_it_serves_what_is_open_and_ends() -> Result<()> {
    run(&to_web("timeout: 10s"), |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.scene.process().signal(Signal::SIGTERM)?;
        let status = shop.scene.process().wait(PATIENCE * 4)?;
        ensure!(status.success(), "{status}");
        Ok(())
    })
}
