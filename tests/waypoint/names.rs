//! ServiceEntries behind the waypoint: endpoints known by host names, weights, what is passed through.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};

use crate::backend::Backend;
use crate::case::{self, Shop, rule_of};
use crate::scene::Scene;
use crate::upstream_connection::Server;

/// What the entry's clients ask for.
const API: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 9);
const V1: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 11));
const V2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 12));

fn entry(resolution: &str, more: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: api, namespace: shop}}\n\
         spec: {{hosts: [api.example], addresses: [{API}], resolution: {resolution}, \
         ports: [{{number: 80, name: http, targetPort: 8080}}, {{number: 90, name: tcp, targetPort: 8080}}], {more}}}\n"
    )
}

fn play(objects: &str, names: &[(&str, IpAddr)], check: impl FnOnce(&mut Shop) -> Result<()>) -> Result<()> {
    case::play(Scene::with_names(objects, names)?, objects, check)
}

fn say(shop: &Shop, names: &[(&str, IpAddr)]) -> Result<()> {
    shop.scene.names.as_ref().map_or(Ok(()), |server| server.say(names))
}

fn lands_on(shop: &Shop, pod: &str) -> Result<()> {
    shop.client.until(pod, || (shop.get("/").to(API, 80).send().ok()?.pod() == pod).then_some(()))
}

#[test]
fn a_host_is_where_its_name_says_as_long_as_nobody_says_otherwise() -> Result<()> {
    for resolution in ["DNS", "DNS_ROUND_ROBIN"] {
        play(&entry(resolution, ""), &[("api", V1)], |shop| {
            shop.get("/").to(API, 80).lands_on("web-v1")?;
            shop.get("/").to(API, 90).lands_on("web-v1")?;
            say(shop, &[("api", V2)])?;
            lands_on(shop, "web-v2")?;
            say(shop, &[("api", V1), ("api", V2)])?;
            lands_on(shop, "web-v1")?;
            lands_on(shop, "web-v2")?;
            if let Some(server) = &mut shop.scene.names {
                server.end();
            }
            shop.client.until("a look-up in vain", || shop.scene.log().contains("cannot look up").then_some(()))?;
            lands_on(shop, "web-v1")
        })?;
    }
    Ok(())
}

#[test]
fn a_host_without_address_is_answered_for_with_that_reason() -> Result<()> {
    let missing = entry("DNS", "endpoints: [{address: back.example}]");
    play(&missing, &[], |shop| {
        shop.get("/").to(API, 80).answers(503)?;
        let reason = "no address is known of back.example: there is no such name";
        let is_told = || shop.scene.access_log().lines().any(|line| line.contains("UH") && line.contains(reason));
        shop.client.until(reason, || is_told().then_some(()))?;
        say(shop, &[("back", V2)])?;
        lands_on(shop, "web-v2")
    })
}

#[test]
fn rules_are_about_the_host_and_weights_about_its_endpoints() -> Result<()> {
    let endpoints = "endpoints: [{address: one.example, weight: 1, labels: {version: v1}}, \
                     {address: two.example, weight: 9, labels: {version: v2}}]";
    let rule = rule_of(
        "api.example",
        "trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {version: v1}}]",
    );
    let route = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: to-v1, namespace: shop}\n\
                 spec: {hosts: [api.example], http: [{match: [{uri: {exact: /v1}}], route: [{destination: {host: api.example, subset: v1}}]}, \
                 {route: [{destination: {host: api.example}}]}]}\n";
    play(&format!("{}{rule}{route}", entry("DNS", endpoints)), &[("one", V1), ("two", V2)], |shop| {
        let mut heavy = 0;
        for _ in 0..200 {
            shop.get("/v1").to(API, 80).lands_on("web-v1")?;
            heavy += usize::from(shop.get("/").to(API, 80).send()?.pod() == "web-v2");
        }
        // 180 expected, standard deviation 4.2.
        ensure!((150..200).contains(&heavy), "{heavy} of 200 requests to who weighs 9 of 10");
        Ok(())
    })
}

#[test]
fn an_entry_without_resolution_is_a_name_for_what_is_there() -> Result<()> {
    // Nobody of the mesh has it.
    let there = Ipv4Addr::new(10, 1, 0, 40);
    let passed = entry("NONE", "").replace(&API.to_string(), &there.to_string()).replace("number: 80", "number: 8080");
    play(&passed, &[], |shop| {
        let _outside = Backend::start(shop.scene.netns(), "outside", there)?;
        shop.get("/").to(there, 8080).lands_on("outside")?;
        ensure!(shop.scene.access_log().contains("api.example"), "the host is not named");
        Ok(())
    })
}

#[test]
fn the_names_of_an_entry_are_believed_where_its_rule_names_nobody() -> Result<()> {
    let objects = |names: &str, folder: &str| {
        let endpoint = format!("endpoints: [{{address: 10.1.0.31}}], subjectAltNames: [{names}]");
        let tls =
            format!("trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {folder}/roots.pem, sni: sni.example}}}}");
        entry("STATIC", &endpoint).replace("targetPort: 8080", "targetPort: 7000") + &rule_of("api.example", &tls)
    };
    play("", &[], |shop| {
        // Its certificate is for raw.example.
        let _server = Server::start(shop)?;
        let folder = shop.scene.folder.path().to_string_lossy().into_owned();
        for (names, status) in
            [("raw.example", 200), ("other.example", 503), ("other.example, raw.example", 200), ("", 503)]
        {
            shop.scene.write(&objects(names, &folder))?;
            let asked = || (shop.get("/").to(API, 80).send().ok()?.status == status).then_some(());
            shop.client.until(&format!("{status} by {names:?}"), asked)?;
        }
        Ok(())
    })
}
