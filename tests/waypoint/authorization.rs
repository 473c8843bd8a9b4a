//! AuthorizationPolicy by what is in requests, and RequestAuthentication's tokens.

use anyhow::Result;
use http::Method;

use crate::case::{Shop, run};
use crate::scene::WEB;

/// A policy that hangs on `web`.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: the-policy, namespace: shop}}\n\
         spec: {{targetRefs: [{{kind: Service, name: web}}], {spec}}}\n"
    )
}

#[test]
fn an_allow_lets_nothing_else_in() -> Result<()> {
    let spec = "action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}],
        to: [{operation: {methods: [GET], paths: ['/a*'], hosts: ['web.shop.svc.cluster.local'], ports: ['80']}}],
        when: [{key: 'request.headers[x-a]', values: ['1']}]}]";
    run(&policy(spec), |shop: &mut Shop| {
        shop.get("/a").with("x-a", "1").lands_on("web")?;
        shop.get("/a").answers(403)?;
        shop.get("/b").with("x-a", "1").answers(403)?;
        shop.get("/a").with("x-a", "1").method(Method::POST, "").answers(403)?;
        shop.get("/a").with("x-a", "1").host("other").answers(403)?;
        shop.get("/a").with("x-a", "1").to(WEB, 8081).answers(403)?;
        shop.get("/a").with("x-a", "1").by_stranger().answers(403).map(drop)
    })
}

#[test]
fn a_deny_is_not_slipped_past_by_another_spelling_of_the_path() -> Result<()> {
    let spec = "action: DENY, rules: [{to: [{operation: {paths: [/admin, '/admin/*']}}]}]";
    run(&policy(spec), |shop: &mut Shop| {
        shop.get("/public").lands_on("web")?;
        for path in ["/admin", "/admin/", "/x/../admin", "/./admin", "/admin?x=1", "/%61dmin", "/admin/../admin/x"] {
            shop.get(path).answers(403)?;
        }
        Ok(())
    })
}

#[test]
fn a_dry_run_denies_nothing_and_the_open_namespace_is_judged_by_who_asks() -> Result<()> {
    let dry = policy("action: DENY, rules: [{}]").replacen(
        "namespace: shop}",
        "namespace: shop, annotations: {istio.io/dry-run: 'true'}}",
        1,
    );
    run(&dry, |shop: &mut Shop| shop.get("/").lands_on("web").map(drop))?;
    run(&policy("action: DENY, rules: [{from: [{source: {namespaces: [other]}}]}]"), |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.get("/").by_stranger().answers(403).map(drop)
    })
}

#[test]
fn a_policy_without_rules_allows_nothing_in_bytes_either() -> Result<()> {
    run(&policy("action: ALLOW"), |shop: &mut Shop| {
        shop.get("/").answers(403)?;
        let read = shop.client.exchange((WEB, 90), b"ping", 8);
        anyhow::ensure!(read.as_ref().map_or(true, |bytes| bytes.is_empty()), "bytes came through: {read:?}");
        Ok(())
    })
}

#[test]
fn who_comes_with_a_bad_token_is_refused() -> Result<()> {
    let rule = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\n\
        spec: {targetRefs: [{kind: Service, name: web}], jwtRules: [{issuer: https://issuer.example, jwks: '{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"1\",\"use\":\"sig\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}'}]}\n";
    run(rule, |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.get("/").with("authorization", "Bearer not.a.token").answers(401).map(drop)
    })
}

#[test]
fn an_audit_of_bytes_says_who_asked() -> Result<()> {
    run(&policy("action: AUDIT, rules: [{to: [{operation: {ports: ['90']}}]}]"), |shop: &mut Shop| {
        let read = shop.client.exchange((WEB, 90), b"ping", 8)?;
        anyhow::ensure!(!read.is_empty(), "nothing came back");
        let client = "cluster.local/ns/shop/sa/client";
        let is_told = |line: &str| line.contains("an AUDIT policy matches") && line.contains(client);
        shop.client.until("the audit's line", || shop.scene.log().lines().any(is_told).then_some(()))
    })
}
