//! GRPCRoute, TCPRoute, TLSRoute, BackendTLSPolicy and ReferenceGrant, by what the Gateway API's users know them to do.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use http::Method;
use tokio::io::AsyncReadExt as _;

use crate::backend::Backend;
use crate::case::{Ask, Shop, run};
use crate::client::Client;
use crate::raw::{Raw, Talk};
use crate::scene::{RAW, WEB};
use crate::upstream_connection::{Server, note_of};
use crate::virtual_service::tls_lands_on;

/// A route of a kind, for a port of `web`.
fn route(kind: &str, port: u16, spec: &str) -> String {
    route_in("shop", kind, port, spec)
}

fn route_in(namespace: &str, kind: &str, port: u16, spec: &str) -> String {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
    format!(
        "---\napiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: route, namespace: {namespace}}}\n\
         spec: {{parentRefs: [{{group: '', kind: Service, name: web, namespace: shop, port: {port}}}], {spec}}}\n"
    )
}

/// Routes of one namespace may lead to services of another.
fn grant(from: &str, kind: &str, to: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: grant, namespace: {to}}}\n\
         spec: {{from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: {from}}}], to: [{{group: '', kind: Service}}]}}\n"
    )
}

/// A call of gRPC.
fn call<'a>(shop: &'a Shop, method: &str) -> Ask<'a> {
    shop.get(method)
        .method(Method::POST, "")
        .with("content-type", "application/grpc")
        .with("te", "trailers")
        .http2()
        .to(WEB, 81)
}

#[test]
fn calls_are_routed_by_service_method_and_header() -> Result<()> {
    let to = "backendRefs: [{name: api, port: 80}]";
    let rules = format!(
        "rules: [{{matches: [{{method: {{service: shop.Cart, method: Add}}}}], {to}}}, {{matches: [{{method: {{service: shop.Order}}}}], {to}}},
        {{matches: [{{method: {{type: RegularExpression, service: 'shop\\.(A|B)', method: '[GP]et'}}}}], {to}}},
        {{matches: [{{headers: [{{name: x-to, value: api}}]}}], {to}}},
        {{matches: [{{method: {{service: shop.Changed}}}}], filters: [
            {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-set, value: s}}]}}}},
            {{type: ResponseHeaderModifier, responseHeaderModifier: {{add: [{{name: x-r, value: r}}]}}}},
            {{type: RequestMirror, requestMirror: {{backendRef: {{name: api, port: 80}}}}}}], backendRefs: [{{name: web, port: 81}}]}},
        {{matches: [{{method: {{service: shop.Cart}}}}], backendRefs: [{{name: web, port: 81}}]}}]"
    );
    run(&route("GRPCRoute", 81, &rules), |shop: &mut Shop| {
        for (method, pod) in [
            ("/shop.Cart/Add", "api"),
            ("/shop.Cart/Remove", "web"),
            ("/shop.Order/Any", "api"),
            ("/shop.A/Get", "api"),
            ("/shop.B/Pet", "api"),
        ] {
            call(shop, method).lands_on(pod)?;
        }
        call(shop, "/shop.Cart/Remove").with("x-to", "api").lands_on("web")?;
        call(shop, "/shop.Else/Do").with("x-to", "api").lands_on("api")?;
        // UNIMPLEMENTED, in the way of gRPC.
        for method in ["/shop.Else/Do", "/shop.C/Get", "/shop.A/Set", "/shop.CartX/Add"] {
            let answer = call(shop, method).answers(200)?;
            ensure!(
                answer.header("grpc-status") == Some("12") && answer.pod().is_empty(),
                "{method}: {:?}",
                answer.headers
            );
        }
        let copies = shop.scene.backend("api").requests();
        let answer = call(shop, "/shop.Changed/It").lands_on("web")?;
        ensure!(answer.seen()["headers"]["x-set"] == "s" && answer.header("x-r") == Some("r"), "{:?}", answer.headers);
        ensure!(answer.seen()["version"] == "HTTP/2.0", "{}", answer.seen());
        shop.client.until("the copy", || (shop.scene.backend("api").requests() == copies + 1).then_some(()))
    })
}

#[test]
fn connections_are_split_by_weight_and_a_reference_to_nothing_ends_them() -> Result<()> {
    let half = "rules: [{backendRefs: [{name: web, port: 90, weight: 1}, {name: api, port: 90, weight: 1}]}]";
    run(&route("TCPRoute", 90, half), |shop: &mut Shop| {
        let mut to_api = 0;
        for _ in 0..60 {
            to_api += usize::from(greeting(&shop.client, 90)? == "api");
        }
        ensure!((12..=48).contains(&to_api), "half were to go there, not {to_api} of 60");
        shop.scene.write(&route("TCPRoute", 90, "rules: [{backendRefs: [{name: nobody, port: 90}]}]"))?;
        shop.client.until("nobody", || greeting(&shop.client, 90).unwrap_or_default().is_empty().then_some(()))
    })
}

#[test]
fn tls_is_routed_by_its_server_name() -> Result<()> {
    let routes =
        route("TLSRoute", 443, "hostnames: ['*.example.com'], rules: [{backendRefs: [{name: api, port: 443}]}]")
            + &route("TLSRoute", 443, "hostnames: [web.example.com], rules: [{backendRefs: [{name: raw, port: 90}]}]")
                .replace("name: route,", "name: more-exact,");
    run(&routes, |shop: &mut Shop| {
        let _raw = Raw::start(&shop.scene, 7001, |mut talk: Talk| async move {
            talk.say("raw\n").await?;
            talk.echo().await
        })?;
        tls_lands_on(shop, "a.example.com", "api")?;
        tls_lands_on(shop, "b.a.example.com", "api")?;
        tls_lands_on(shop, "web.example.com", "raw")
    })
}

#[test]
fn a_service_of_another_namespace_is_reached_by_its_grant_only() -> Result<()> {
    let far = "---\napiVersion: v1\nkind: Service\nmetadata: {name: far, namespace: other}\n\
        spec: {clusterIP: 10.96.0.50, selector: {app: far}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n\
        apiVersion: v1\nkind: Pod\nmetadata: {name: far, namespace: other, labels: {app: far}}\n\
        spec: {serviceAccountName: far, nodeName: node-1, containers: []}\n\
        status: {phase: Running, podIP: 10.1.0.22, conditions: [{type: Ready, status: \"True\"}]}\n";
    // Where a Service is the parent its owner has a say; a waypoint's routes need the other namespace's word.
    let to_far = route("HTTPRoute", 80, "rules: [{backendRefs: [{name: far, namespace: other, port: 80}]}]") + far;
    let service = "[{group: '', kind: Service, name: web, namespace: shop, port: 80}]";
    let to_far = to_far.replace(service, "[{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]");
    run(&to_far, |shop: &mut Shop| {
        let _far = Backend::start(shop.scene.netns(), "far", Ipv4Addr::new(10, 1, 0, 22))?;
        shop.get("/").answers(500)?;
        for (grant, is_reached) in [
            (grant("shop", "TCPRoute", "other"), false),
            (grant("shop", "HTTPRoute", "other"), true),
            (grant("elsewhere", "HTTPRoute", "other"), false),
        ] {
            shop.scene.write(&format!("{to_far}{grant}"))?;
            let expected = || shop.get("/").send().ok().filter(|answer| (answer.pod() == "far") == is_reached);
            let answer = shop.client.until(&grant, expected)?;
            ensure!(answer.status == if is_reached { 200 } else { 500 }, "{grant}: {}", answer.status);
        }
        Ok(())
    })
}

#[test]
fn consumers_have_routes_of_their_own_for_calls_and_connections() -> Result<()> {
    let routes = route_in("other", "TCPRoute", 90, "rules: [{backendRefs: [{name: api, namespace: shop, port: 90}]}]")
        + &route_in(
            "other",
            "GRPCRoute",
            81,
            "rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-by, value: other}]}}], backendRefs: [{name: web, namespace: shop, port: 81}]}]",
        );
    run(&routes, |shop: &mut Shop| {
        ensure!(greeting(&shop.stranger, 90)? == "api", "the consumer's route is not in force");
        ensure!(greeting(&shop.client, 90)?.starts_with("web-"), "it is in force for others");
        ensure!(
            call(shop, "/a.B/C").by_stranger().lands_on("web")?.seen()["headers"]["x-by"] == "other",
            "not in force"
        );
        ensure!(call(shop, "/a.B/C").lands_on("web")?.seen()["headers"]["x-by"].is_null(), "in force for others");
        Ok(())
    })
}

#[test]
fn a_policy_of_tls_to_a_service_says_whom_to_believe() -> Result<()> {
    run("", |shop: &mut Shop| {
        let server = Server::start(shop)?;
        let policy = |target: &str, hostname: &str, roots: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: raw, namespace: shop}}\n\
                 spec: {{targetRefs: [{{group: '', kind: Service, name: raw{target}}}], validation: {{hostname: {hostname}, \
                 caCertificateRefs: [{{group: '', kind: ConfigMap, name: {roots}}}]}}}}\n---\n\
                 apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: shop}}\ndata:\n  ca.crt: |\n{}",
                server.roots()
            )
        };
        for (target, hostname, roots, status) in [
            ("", "raw.example", "roots", 200),
            ("", "other.example", "roots", 503),
            (", sectionName: http", "raw.example", "roots", 200),
            ("", "raw.example", "nobody", 503),
        ] {
            shop.scene.write(&policy(target, hostname, roots))?;
            let asked = || (shop.get("/").to(RAW, 80).send().ok()?.status == status).then_some(());
            shop.client.until(&format!("{status} with {target} {hostname} {roots}"), asked)?;
        }
        ensure!(note_of(&server, "raw.example"), "it was not asked for by its name");
        Ok(())
    })
}

/// The first line of who answers at a port of `web`, which is its name; nothing where nobody does.
fn greeting(client: &Client, port: u16) -> Result<String> {
    client.block_on(async {
        let mut stream = client.open((WEB, port)).await?;
        let mut name = String::new();
        while let Ok(byte) = stream.read_u8().await {
            if byte == b'\n' {
                break;
            }
            name.push(char::from(byte));
        }
        Ok(name)
    })
}
