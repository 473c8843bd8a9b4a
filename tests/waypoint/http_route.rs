//! HTTPRoute, by what the Gateway API's users know it to do.

use anyhow::{Result, ensure};
use http::Method;

use crate::case::{Shop, run};

/// An HTTPRoute for `web` with these rules.
fn route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web, namespace: shop}}\n\
         spec: {{parentRefs: [{{group: '', kind: Service, name: web}}], rules: {rules}}}\n"
    )
}

#[test]
fn the_most_specific_match_wins_wherever_it_stands() -> Result<()> {
    let rules = "[{matches: [{path: {type: PathPrefix, value: /}}], backendRefs: [{name: web, port: 80}]},
        {matches: [{path: {type: PathPrefix, value: /a}}], backendRefs: [{name: api, port: 80}]},
        {matches: [{path: {type: Exact, value: /a/b}}], backendRefs: [{name: web, port: 80}]},
        {matches: [{headers: [{name: x-to, value: api}]}, {queryParams: [{name: to, value: api}]}, {method: PUT}], backendRefs: [{name: api, port: 80}]}]";
    run(&route(rules), |shop: &mut Shop| {
        for (path, pod) in [
            ("/", "web"),
            ("/a", "api"),
            ("/a/", "api"),
            ("/ab", "web"),
            ("/a/b", "web"),
            ("/a/b/c", "api"),
            ("/?to=api", "api"),
        ] {
            shop.get(path).lands_on(pod)?;
        }
        shop.get("/").with("x-to", "api").lands_on("api")?;
        shop.get("/").method(Method::PUT, "").lands_on("api").map(drop)
    })
}

#[test]
fn weights_split_and_a_reference_to_nothing_is_answered_500() -> Result<()> {
    let rules = "[{matches: [{path: {value: /half}}], backendRefs: [{name: web, port: 80, weight: 1}, {name: api, port: 80, weight: 1}]},
        {matches: [{path: {value: /none}}], backendRefs: [{name: web, port: 80, weight: 0}]},
        {matches: [{path: {value: /nobody}}], backendRefs: [{name: nobody, port: 80}]}]";
    run(&route(rules), |shop: &mut Shop| {
        let mut to_api = 0;
        for _ in 0..100 {
            to_api += usize::from(shop.get("/half").answers(200)?.pod() == "api");
        }
        ensure!((25..=75).contains(&to_api), "half were to go there, not {to_api} of 100");
        shop.get("/none").answers(500)?;
        shop.get("/nobody").answers(500)?;
        shop.get("/else").answers(404).map(drop)
    })
}

#[test]
fn filters_change_requests_and_answers() -> Result<()> {
    let rules = "[{matches: [{path: {value: /go}}], filters: [{type: RequestRedirect, requestRedirect: {hostname: new.example.com, statusCode: 302, path: {type: ReplacePrefixMatch, replacePrefixMatch: /gone}}}]},
        {matches: [{path: {value: /old}}], filters: [
            {type: URLRewrite, urlRewrite: {hostname: inner.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}},
            {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: s}], add: [{name: x-add, value: a}], remove: [x-gone]}},
            {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-r, value: r}]}},
            {type: RequestMirror, requestMirror: {backendRef: {name: api, port: 80}}}],
         backendRefs: [{name: web, port: 80}]}]";
    run(&route(rules), |shop: &mut Shop| {
        let answer = shop.get("/go/on?a=b").answers(302)?;
        ensure!(answer.header("location") == Some("http://new.example.com/gone/on?a=b"), "{:?}", answer.headers);
        let answer = shop.get("/old/x?y=z").with("x-gone", "1").lands_on("web")?;
        let seen = answer.seen();
        ensure!(seen["path"] == "/new/x?y=z" && seen["authority"] == "inner.example.com", "{seen}");
        ensure!(seen["headers"]["x-set"] == "s" && seen["headers"]["x-add"] == "a", "{seen}");
        ensure!(seen["headers"]["x-gone"].is_null() && answer.header("x-r") == Some("r"), "{seen}");
        ambit_tests::until("the copy", std::time::Duration::from_secs(10), || {
            (shop.scene.backend("api").requests() == 1).then_some(())
        })
    })
}

#[test]
fn time_runs_out_and_failures_are_tried_again() -> Result<()> {
    let rules =
        "[{matches: [{path: {value: /short}}], timeouts: {request: 300ms}, backendRefs: [{name: web, port: 80}]},
        {retry: {codes: [503], attempts: 2, backoff: 1ms}, backendRefs: [{name: web, port: 80}]}]";
    run(&route(rules), |shop: &mut Shop| {
        shop.get("/short").with("x-test-delay", "3000").answers(504)?;
        shop.get("/").with("x-test-fail", "route-retry 2 503").lands_on("web").map(drop)
    })
}

#[test]
fn a_consumers_route_is_for_its_own_namespace() -> Result<()> {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: other}\n\
         spec: {parentRefs: [{group: '', kind: Service, name: web, namespace: shop}], rules: [{filters: [
         {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-by, value: other}]}}], backendRefs: [{name: web, namespace: shop, port: 80}]}]}\n";
    run(route, |shop: &mut Shop| {
        ensure!(
            shop.get("/").by_stranger().lands_on("web")?.seen()["headers"]["x-by"] == "other",
            "the route is not in force"
        );
        ensure!(shop.get("/").lands_on("web")?.seen()["headers"]["x-by"].is_null(), "the route is in force for others");
        Ok(())
    })
}
