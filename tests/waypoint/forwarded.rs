//! What backends and policies are told of who asks: `X-Forwarded-For`, `X-Forwarded-Client-Cert`, trusted proxies.

use std::time::Duration;

use ambit_tests::until;
use anyhow::{Result, ensure};
use serde_json::Value;

use crate::case::{Ask, Shop, run};

const OWN: &str = "spiffe://cluster.local/ns/shop/sa/waypoint";
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";
const STRANGER: &str = "spiffe://cluster.local/ns/other/sa/stranger";

/// The mesh configuration with this topology.
fn topology(says: &str) -> String {
    format!(
        "---\napiVersion: ambit.io/v1alpha1\nkind: MeshConfig\nmetadata: {{name: default, namespace: istio-system}}\n\
         spec: {{defaultConfig: {{gatewayTopology: {{{says}}}}}}}\n"
    )
}

fn policy(spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: by-address, namespace: shop}}\n\
         spec: {{targetRefs: [{{kind: Service, name: web}}], {spec}}}\n"
    )
}

/// What the backend saw of a header.
fn seen(ask: Ask<'_>, header: &str) -> Result<Option<String>> {
    let seen = ask.lands_on("web")?.seen();
    Ok(seen.get("headers").and_then(|all| all.get(header)).and_then(Value::as_str).map(str::to_owned))
}

fn certificate(ask: Ask<'_>) -> Result<Option<String>> {
    seen(ask, "x-forwarded-client-cert")
}

/// The client's element, and its hash.
fn element<'t>(text: &'t str, client: &str) -> Option<&'t str> {
    let hash = text.strip_prefix(&format!("By={OWN};Hash="))?.strip_suffix(&format!(";URI={client}"))?;
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

#[test]
fn without_a_word_nobody_can_say_who_they_are() -> Result<()> {
    run("", |shop: &mut Shop| {
        let ask = || shop.get("/").with("x-forwarded-client-cert", "By=a;URI=spiffe://cluster.local/ns/shop/sa/root");
        ensure!(certificate(ask())?.is_none(), "the client's word went on");
        ensure!(certificate(ask().http2())?.is_none(), "the client's word went on");
        let hops = seen(shop.get("/").with("x-forwarded-for", "203.0.113.7"), "x-forwarded-for")?;
        ensure!(hops.as_deref() == Some("203.0.113.7, 10.1.0.9"), "{hops:?}");
        let proto = seen(shop.get("/").with("x-forwarded-proto", "https"), "x-forwarded-proto")?;
        ensure!(proto.as_deref() == Some("http"), "{proto:?}");
        Ok(())
    })
}

#[test]
fn the_backend_is_told_the_client_that_proved_itself() -> Result<()> {
    run(&topology("forwardClientCertDetails: SANITIZE_SET"), |shop: &mut Shop| {
        let client = certificate(shop.get("/").with("x-forwarded-client-cert", "By=a"))?.unwrap_or_default();
        let stranger = certificate(shop.get("/").by_stranger())?.unwrap_or_default();
        let hashes = (element(&client, CLIENT), element(&stranger, STRANGER));
        let (Some(ours), Some(theirs)) = hashes else { anyhow::bail!("{client} {stranger}") };
        ensure!(ours != theirs, "two clients have one certificate: {ours}");
        Ok(())
    })
}

#[test]
fn the_client_is_added_or_left_as_it_was_said() -> Result<()> {
    run(&topology("forwardClientCertDetails: APPEND_FORWARD"), |shop: &mut Shop| {
        let both = certificate(shop.get("/").with("x-forwarded-client-cert", "By=a;URI=b"))?.unwrap_or_default();
        let own = both.strip_prefix("By=a;URI=b, ").and_then(|own| element(own, CLIENT));
        ensure!(own.is_some(), "{both}");
        let alone = certificate(shop.get("/"))?.unwrap_or_default();
        ensure!(element(&alone, CLIENT).is_some(), "{alone}");
        Ok(())
    })?;
    for how in ["FORWARD_ONLY", "ALWAYS_FORWARD_ONLY"] {
        run(&topology(&format!("forwardClientCertDetails: {how}")), |shop: &mut Shop| {
            let came = certificate(shop.get("/").with("x-forwarded-client-cert", "By=a;URI=b"))?;
            ensure!(came.as_deref() == Some("By=a;URI=b"), "{how}: {came:?}");
            ensure!(certificate(shop.get("/"))?.is_none(), "{how}: something of the waypoint's own");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn policies_by_address_look_before_trusted_proxies_and_no_further() -> Result<()> {
    let deny = policy("action: DENY, rules: [{from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]}]");
    run(&(topology("numTrustedProxies: 1") + &deny), |shop: &mut Shop| {
        let from = |hops: &str| shop.get("/").with("x-forwarded-for", hops);
        from("203.0.113.7").answers(403)?;
        from("198.51.100.1, 203.0.113.7").answers(403)?;
        from("203.0.113.7:4711").answers(403)?;
        // What the client itself says stands before.
        from("203.0.113.7, 198.51.100.1").answers(200)?;
        shop.get("/").answers(200)?;
        // Nobody knows whom the policy would be about.
        from("unknown").answers(400)?;
        let proto = seen(from("198.51.100.1").with("x-forwarded-proto", "https"), "x-forwarded-proto")?;
        ensure!(proto.as_deref() == Some("https"), "{proto:?}");
        Ok(())
    })?;
    run(&(topology("numTrustedProxies: 2") + &deny), |shop: &mut Shop| {
        shop.get("/").with("x-forwarded-for", "203.0.113.7, 198.51.100.1").answers(403)?;
        shop.get("/").with("x-forwarded-for", "203.0.113.7").answers(200).map(drop)
    })?;
    run(&deny, |shop: &mut Shop| shop.get("/").with("x-forwarded-for", "203.0.113.7").answers(200).map(drop))
}

#[test]
fn who_came_round_the_proxies_is_who_it_is() -> Result<()> {
    let allow = "action: ALLOW, rules: [{when: [{key: remote.ip, values: [203.0.113.0/24]}, {key: source.ip, values: [10.1.0.9]}]}]";
    run(&(topology("numTrustedProxies: 1") + &policy(allow)), |shop: &mut Shop| {
        shop.get("/").with("x-forwarded-for", "203.0.113.7").answers(200)?;
        shop.get("/").with("x-forwarded-for", "203.0.113.7").by_stranger().answers(403)?;
        shop.get("/").with("x-forwarded-for", "198.51.100.1").answers(403)?;
        shop.get("/").answers(403).map(drop)
    })
}

#[test]
fn the_gateways_annotation_goes_before_and_takes_effect_at_once() -> Result<()> {
    run(&topology("forwardClientCertDetails: SANITIZE_SET"), |shop: &mut Shop| {
        ensure!(certificate(shop.get("/"))?.is_some(), "nothing of the client");
        shop.scene.annotate("gatewayTopology: {forwardClientCertDetails: SANITIZE}")?;
        let gone = || certificate(shop.get("/")).ok()?.is_none().then_some(());
        until("the annotation is in force", Duration::from_secs(10), gone)
    })
}
