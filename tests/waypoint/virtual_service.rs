//! VirtualService, field by field.

use std::sync::Arc;

use anyhow::{Result, ensure};
use http::Method;

use crate::case::{SUBSETS, Shop, cases, destination_rule, to_api, to_web, virtual_service};
use crate::endpoints::regions;
use crate::scene::{API, WEB};

cases! {
    exact_path ["spec.hosts", "spec.http[].route[].destination.host", "spec.http[].match[].uri.exact"]
    to_api("match: [{uri: {exact: /a}}]") => |shop: &mut Shop| {
        shop.get("/a").lands_on("api")?;
        shop.get("/a?x=1").lands_on("api")?;
        shop.get("/a/").lands_on("web")?;
        shop.get("/b").lands_on("web").map(drop)
    };
    path_prefix ["spec.http[].match[].uri.prefix"]
    to_api("match: [{uri: {prefix: /a}}]") => |shop: &mut Shop| {
        shop.get("/ab/c").lands_on("api")?;
        shop.get("/b/a").lands_on("web").map(drop)
    };
    path_expression ["spec.http[].match[].uri.regex"]
    to_api("match: [{uri: {regex: '/v[0-9]+/x'}}]") => |shop: &mut Shop| {
        shop.get("/v12/x").lands_on("api")?;
        shop.get("/v12/xy").lands_on("web").map(drop)
    };
    path_without_case ["spec.http[].match[].ignoreUriCase"]
    to_api("match: [{uri: {exact: /Ab}, ignoreUriCase: true}]") => |shop: &mut Shop| {
        shop.get("/aB").lands_on("api")?;
        shop.get("/a").lands_on("web").map(drop)
    };
    scheme ["spec.http[].match[].scheme"]
    to_api("match: [{scheme: {exact: http}, uri: {prefix: /s}}, {scheme: {exact: https}}]") => |shop: &mut Shop| {
        shop.get("/s").lands_on("api")?;
        shop.get("/").lands_on("web").map(drop)
    };
    method ["spec.http[].match[].method"]
    to_api("match: [{method: {exact: POST}}]") => |shop: &mut Shop| {
        shop.get("/").method(Method::POST, "x").lands_on("api")?;
        shop.get("/").lands_on("web").map(drop)
    };
    authority ["spec.http[].match[].authority"]
    to_api("match: [{authority: {prefix: 'api.'}}]") => |shop: &mut Shop| {
        shop.get("/").host("api.example.com").lands_on("api")?;
        shop.get("/").host("api.example.com").http2().lands_on("api")?;
        shop.get("/").lands_on("web").map(drop)
    };
    headers ["spec.http[].match[].headers"]
    to_api("match: [{headers: {x-a: {exact: '1'}, x-b: {regex: '[a-c]+'}, x-c: {}}}]") => |shop: &mut Shop| {
        shop.get("/").with("x-a", "1").with("x-b", "abc").with("x-c", "").lands_on("api")?;
        shop.get("/").with("x-a", "1").with("x-b", "abcd").with("x-c", "y").lands_on("web")?;
        shop.get("/").with("x-a", "1").with("x-b", "a").lands_on("web").map(drop)
    };
    without_headers ["spec.http[].match[].withoutHeaders"]
    to_api("match: [{withoutHeaders: {x-a: {exact: '1'}}}]") => |shop: &mut Shop| {
        shop.get("/").lands_on("api")?;
        shop.get("/").with("x-a", "2").lands_on("api")?;
        shop.get("/").with("x-a", "1").lands_on("web").map(drop)
    };
    query ["spec.http[].match[].queryParams"]
    to_api("match: [{queryParams: {v: {exact: '2'}}}]") => |shop: &mut Shop| {
        shop.get("/?a=1&v=2").lands_on("api")?;
        shop.get("/?v=3").lands_on("web").map(drop)
    };
    port ["spec.http[].match[].port"]
    virtual_service("http: [{match: [{port: 8081}], route: [{destination: {host: api, port: {number: 80}}}]}, {route: [{destination: {host: web}}]}]")
    => |shop: &mut Shop| {
        shop.get("/").to(WEB, 8081).lands_on("api")?;
        shop.get("/").lands_on("web").map(drop)
    };
    source_labels ["spec.http[].match[].sourceLabels"]
    to_api("match: [{sourceLabels: {tier: gold}}]") => |shop: &mut Shop| {
        shop.get("/").lands_on("api")?;
        shop.get("/").by_stranger().lands_on("web").map(drop)
    };
    source_namespace ["spec.http[].match[].sourceNamespace"]
    to_api("match: [{sourceNamespace: other}]") => |shop: &mut Shop| {
        shop.get("/").by_stranger().lands_on("api")?;
        shop.get("/").lands_on("web").map(drop)
    };
    objects_for_gateways ["spec.gateways"]
    virtual_service("gateways: [other/edge], http: [{route: [{destination: {host: api}}]}]") + "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web-here, namespace: shop}
spec: {hosts: [web], gateways: [other/edge, mesh], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: api}}]}, {route: [{destination: {host: web}}]}]}
" => |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.get("/a").lands_on("api").map(drop)
    };
    rules_for_gateways ["spec.http[].match[].gateways"]
    virtual_service("gateways: [mesh, other/edge], http: [
        {match: [{gateways: [other/edge]}], route: [{destination: {host: api}}]},
        {match: [{gateways: [mesh], uri: {prefix: /m}}], route: [{destination: {host: api}}]},
        {route: [{destination: {host: web}}]}]") => |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.get("/m").lands_on("api").map(drop)
    };
    matches_are_alternatives ["spec.http[].match[].name", "spec.http[].match[].statPrefix", "spec.http[].name"]
    to_api("name: two, match: [{name: a, statPrefix: x, uri: {exact: /a}}, {uri: {exact: /b}}]") => |shop: &mut Shop| {
        shop.get("/a").lands_on("api")?;
        shop.get("/b").lands_on("api")?;
        shop.get("/c").lands_on("web")?;
        // A rule's name is the log's.
        let is_named = |line: &str| line.contains("/b") && line.split(' ').any(|word| word.trim_matches('"') == "two");
        shop.client.until("the rule's name in the log", || shop.scene.access_log().lines().any(is_named).then_some(()))
    };
    nothing_matches []
    virtual_service("http: [{match: [{uri: {exact: /a}}], route: [{destination: {host: api}}]}]") => |shop: &mut Shop| {
        shop.get("/a").lands_on("api")?;
        shop.get("/b").answers(404).map(drop)
    };
    weights ["spec.http[].route[].weight"]
    virtual_service("http: [{route: [{destination: {host: web}, weight: 90}, {destination: {host: api}, weight: 10}]}]")
    => |shop: &mut Shop| {
        let share = shop.share(300, "api")?;
        ensure!((0.03..=0.2).contains(&share), "a tenth was to go there, not {share}");
        Ok(())
    };
    subsets ["spec.http[].route[].destination.subset", "spec.http[].route[].destination.port.number"]
    virtual_service("http: [{match: [{uri: {prefix: /2}}], route: [{destination: {host: web, subset: v2, port: {number: 8081}}}]},
        {route: [{destination: {host: web, subset: v1}}]}]") + &destination_rule(SUBSETS) => |shop: &mut Shop| {
        for _ in 0..5 {
            shop.get("/").lands_on("web-v1")?;
            shop.get("/2").lands_on("web-v2")?;
        }
        Ok(())
    };
    header_operations ["spec.http[].headers.request", "spec.http[].headers.response", "spec.http[].route[].headers.request",
                       "spec.http[].route[].headers.response"]
    virtual_service("http: [{headers: {request: {set: {x-set: s}, add: {x-add: a}, remove: [x-gone]}, response: {set: {x-r: r}, remove: [x-pod]}},
        route: [{destination: {host: web}, headers: {request: {set: {x-backend: b}}, response: {add: {x-q: q}}}}]}]")
    => |shop: &mut Shop| {
        let answer = shop.get("/").with("x-set", "old").with("x-add", "0").with("x-gone", "1").lands_on("web")?;
        let headers = &answer.seen()["headers"];
        ensure!(headers["x-set"] == "s" && headers["x-add"] == "0,a" && headers["x-backend"] == "b", "{headers}");
        ensure!(headers["x-gone"].is_null(), "{headers}");
        ensure!(answer.header("x-r") == Some("r") && answer.header("x-q") == Some("q"), "{:?}", answer.headers);
        ensure!(answer.header("x-pod").is_none(), "{:?}", answer.headers);
        Ok(())
    };
    redirect ["spec.http[].redirect.uri", "spec.http[].redirect.authority", "spec.http[].redirect.redirectCode",
              "spec.http[].redirect.scheme", "spec.http[].redirect.port"]
    virtual_service("http: [{match: [{uri: {exact: /a}}], redirect: {uri: /b, authority: new.example.com, scheme: https, port: 8443, redirectCode: 308}},
        {redirect: {authority: other}}]") => |shop: &mut Shop| {
        let answer = shop.get("/a").answers(308)?;
        ensure!(answer.header("location") == Some("https://new.example.com:8443/b"), "{:?}", answer.headers);
        let answer = shop.get("/c?d=e").answers(301)?;
        ensure!(answer.header("location") == Some("http://other/c?d=e"), "{:?}", answer.headers);
        Ok(())
    };
    redirect_ports ["spec.http[].redirect.derivePort"]
    virtual_service("http: [{match: [{uri: {exact: /a}}], redirect: {authority: x, derivePort: FROM_REQUEST_PORT}},
        {redirect: {authority: x, derivePort: FROM_PROTOCOL_DEFAULT}}]") => |shop: &mut Shop| {
        let answer = shop.get("/a").to(WEB, 8081).answers(301)?;
        ensure!(answer.header("location") == Some("http://x:8081/a"), "{:?}", answer.headers);
        let answer = shop.get("/b").to(WEB, 8081).answers(301)?;
        ensure!(answer.header("location") == Some("http://x/b"), "{:?}", answer.headers);
        Ok(())
    };
    direct_response ["spec.http[].directResponse.status", "spec.http[].directResponse.body.string", "spec.http[].directResponse.body.bytes"]
    virtual_service("http: [{match: [{uri: {exact: /a}}], directResponse: {status: 418, body: {string: teapot}}},
        {directResponse: {status: 200, body: {bytes: aGVsbG8=}}}]") => |shop: &mut Shop| {
        ensure!(shop.get("/a").answers(418)?.body == "teapot", "another body");
        ensure!(shop.get("/b").answers(200)?.body == "hello", "another body");
        Ok(())
    };
    rewrite ["spec.http[].rewrite.uri", "spec.http[].rewrite.authority"]
    virtual_service("http: [{match: [{uri: {prefix: /a}}], rewrite: {uri: /z, authority: api.example.com}, route: [{destination: {host: api}}]}]")
    => |shop: &mut Shop| {
        let seen = shop.get("/a/b?c=d").lands_on("api")?.seen();
        ensure!(seen["path"] == "/z/b?c=d" && seen["authority"] == "api.example.com", "{seen}");
        Ok(())
    };
    rewrite_by_expression ["spec.http[].rewrite.uriRegexRewrite.match", "spec.http[].rewrite.uriRegexRewrite.rewrite"]
    to_web(r"rewrite: {uriRegexRewrite: {match: '^/service/([^/]+)(/.*)$', rewrite: '\2/instance/\1'}}") => |shop: &mut Shop| {
        let seen = shop.get("/service/foo/v1?q=1").lands_on("web")?.seen();
        ensure!(seen["path"] == "/v1/instance/foo?q=1", "{seen}");
        Ok(())
    };
    timeout ["spec.http[].timeout"]
    to_web("timeout: 0.3s") => |shop: &mut Shop| {
        shop.get("/").with("x-test-delay", "10").lands_on("web")?;
        shop.get("/").with("x-test-delay", "2000").answers(504).map(drop)
    };
    retries ["spec.http[].retries.attempts", "spec.http[].retries.retryOn", "spec.http[].retries.backoff"]
    to_web("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}") => |shop: &mut Shop| {
        shop.get("/").with("x-test-fail", "retries-2 2 503").lands_on("web")?;
        shop.get("/").with("x-test-fail", "retries-3 3 503").answers(503).map(drop)
    };
    retries_on_reset []
    to_web("retries: {attempts: 1, retryOn: reset}") => |shop: &mut Shop| {
        shop.get("/").with("x-test-reset", "retries-reset 1").lands_on("web").map(drop)
    };
    no_retries []
    to_web("retries: {attempts: 0}") => |shop: &mut Shop| {
        shop.get("/").with("x-test-reset", "no-retries 1").answers(503)?;
        shop.get("/").with("x-test-fail", "no-retries-2 1 503").answers(503).map(drop)
    };
    time_of_a_try ["spec.http[].retries.perTryTimeout"]
    to_web("timeout: 5s, retries: {attempts: 1, perTryTimeout: 0.3s, retryOn: '5xx'}") => |shop: &mut Shop| {
        let answer = shop.get("/").with("x-test-delay", "3000").answers(504)?;
        ensure!(answer.took.as_secs_f64() < 2.5, "two tries of 0.3 s took {:?}", answer.took);
        Ok(())
    };
    other_hosts_first ["spec.http[].retries.retryIgnorePreviousHosts"]
    to_web("retries: {attempts: 1, retryOn: 5xx, retryIgnorePreviousHosts: true}") => |shop: &mut Shop| {
        for index in 0..10 {
            let key = format!("other-hosts-{index} 1 503");
            shop.get("/").with("x-test-fail", &key).lands_on("web")?;
        }
        let seen = ["web-v1", "web-v2"].map(|name| shop.scene.backend(name).requests());
        ensure!(seen == [10, 10], "each request fails on one and is tried on the other: {seen:?}");
        Ok(())
    };
    retries_near []
    retrying_from_afar("") => |shop: &mut Shop| {
        shop.get("/").with("x-test-fail-on", "web-v2 503").answers(503)?;
        ensure!(shop.scene.backend("web-v1").requests() == 0, "it was tried far away");
        Ok(())
    };
    retries_far_away ["spec.http[].retries.retryRemoteLocalities"]
    retrying_from_afar(", retryRemoteLocalities: true") => |shop: &mut Shop| {
        shop.get("/").with("x-test-fail-on", "web-v2 503").lands_on("web-v1").map(drop)
    };
    delay ["spec.http[].fault.delay.fixedDelay", "spec.http[].fault.delay.percentage.value"]
    to_web("fault: {delay: {fixedDelay: 0.3s, percentage: {value: 100}}}") => |shop: &mut Shop| {
        let answer = shop.get("/").lands_on("web")?;
        ensure!(answer.took >= crate::case::DELAY, "no delay: {:?}", answer.took);
        Ok(())
    };
    delay_of_none ["spec.http[].fault.delay.percent"]
    virtual_service("http: [{fault: {delay: {fixedDelay: 3600s, percent: 0}}, route: [{destination: {host: web}}]}]") => |shop: &mut Shop| {
        shop.get("/").lands_on("web").map(drop)
    };
    abort ["spec.http[].fault.abort.httpStatus", "spec.http[].fault.abort.percentage.value"]
    virtual_service("http: [{match: [{uri: {prefix: /a}}], fault: {abort: {httpStatus: 555, percentage: {value: 100}}}, route: [{destination: {host: web}}]},
        {fault: {abort: {httpStatus: 555, percentage: {value: 50}}}, route: [{destination: {host: web}}]}]") => |shop: &mut Shop| {
        shop.get("/a").answers(555)?;
        let mut aborted = 0;
        for _ in 0..100 {
            aborted += usize::from(shop.get("/b").send()?.status == 555);
        }
        ensure!((25..=75).contains(&aborted), "half were to be aborted, not {aborted} of 100");
        Ok(())
    };
    abort_of_grpc ["spec.http[].fault.abort.grpcStatus"]
    to_web("fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}") => |shop: &mut Shop| {
        let answer = shop.get("/a.B/C").http2().to(WEB, 81).method(Method::POST, "").with("content-type", "application/grpc").answers(200)?;
        ensure!(answer.header("grpc-status") == Some("14"), "{:?}", answer.headers);
        Ok(())
    };
    mirror ["spec.http[].mirror.host", "spec.http[].mirrorPercentage.value"]
    to_web("mirror: {host: api}, mirrorPercentage: {value: 100}") => |shop: &mut Shop| {
        shop.get("/m").method(Method::POST, "copied").lands_on("web")?;
        mirrored(shop, 1)
    };
    mirrors ["spec.http[].mirrors[].destination.host", "spec.http[].mirrors[].percentage.value"]
    to_web("mirrors: [{destination: {host: api}, percentage: {value: 100}}, {destination: {host: web}, percentage: {value: 0}}]")
    => |shop: &mut Shop| {
        shop.get("/m").lands_on("web")?;
        mirrored(shop, 1)?;
        let seen = ["web-v1", "web-v2"].map(|name| shop.scene.backend(name).requests());
        ensure!(seen[0] + seen[1] == 1, "{seen:?}");
        Ok(())
    };
    mirror_of_none ["spec.http[].mirrorPercent"]
    to_web("mirror: {host: api}, mirrorPercent: 0") => |shop: &mut Shop| {
        shop.get("/m").lands_on("web")?;
        shop.get("/m").to(API, 80).lands_on("api")?;
        mirrored(shop, 1)
    };
    cors_preflight ["spec.http[].corsPolicy.allowOrigins", "spec.http[].corsPolicy.allowMethods", "spec.http[].corsPolicy.allowHeaders",
          "spec.http[].corsPolicy.exposeHeaders", "spec.http[].corsPolicy.maxAge", "spec.http[].corsPolicy.allowCredentials"]
    to_web("corsPolicy: {allowOrigins: [{exact: 'https://a.example'}], allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 60s, allowCredentials: true}")
    => |shop: &mut Shop| {
        let preflight = shop.get("/").method(Method::OPTIONS, "").with("origin", "https://a.example").with("access-control-request-method", "PUT");
        let answer = preflight.answers(200)?;
        ensure!(answer.pod().is_empty(), "the backend was asked");
        for (name, value) in [("access-control-allow-origin", "https://a.example"), ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "60"), ("access-control-allow-methods", "GET,PUT"), ("access-control-allow-headers", "x-a")] {
            ensure!(answer.header(name) == Some(value), "{name}: {:?}", answer.headers);
        }
        let answer = shop.get("/").with("origin", "https://a.example").lands_on("web")?;
        ensure!(answer.header("access-control-expose-headers") == Some("x-b"), "{:?}", answer.headers);
        let answer = shop.get("/").with("origin", "https://b.example").lands_on("web")?;
        ensure!(answer.header("access-control-allow-origin").is_none(), "{:?}", answer.headers);
        Ok(())
    };
    cors_of_old ["spec.http[].corsPolicy.allowOrigin"]
    to_web("corsPolicy: {allowOrigin: ['https://a.example']}") => |shop: &mut Shop| {
        let answer = shop.get("/").with("origin", "https://a.example").lands_on("web")?;
        ensure!(answer.header("access-control-allow-origin") == Some("https://a.example"), "{:?}", answer.headers);
        Ok(())
    };
    cors_of_strangers ["spec.http[].corsPolicy.unmatchedPreflights"]
    to_web("corsPolicy: {allowOrigins: [{exact: 'https://a.example'}], unmatchedPreflights: IGNORE}") => |shop: &mut Shop| {
        let preflight = shop.get("/").method(Method::OPTIONS, "").with("origin", "https://b.example").with("access-control-request-method", "PUT");
        let answer = preflight.send()?;
        ensure!(answer.pod().is_empty(), "the backend was asked");
        ensure!(answer.header("access-control-allow-origin").is_none(), "{:?}", answer.headers);
        Ok(())
    };
    delegate ["spec.http[].delegate.name", "spec.http[].delegate.namespace"]
    virtual_service("http: [{match: [{uri: {prefix: /d}}], delegate: {name: part, namespace: shop}}, {route: [{destination: {host: web}}]}]") + "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: shop}
spec: {http: [{match: [{uri: {prefix: /d/api}}], route: [{destination: {host: api}}]}, {route: [{destination: {host: web}}]}]}
" => |shop: &mut Shop| {
        shop.get("/d/api").lands_on("api")?;
        shop.get("/d").lands_on("web")?;
        shop.get("/x").lands_on("web").map(drop)
    };
    several_of_one_host []
    virtual_service("http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: api}}]}]") + "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web-rest, namespace: shop}
spec: {hosts: [web.shop.svc.cluster.local], http: [{route: [{destination: {host: web}}]}]}
" => |shop: &mut Shop| {
        shop.get("/a").lands_on("api")?;
        shop.get("/b").lands_on("web").map(drop)
    };
    for_other_namespaces ["spec.exportTo"]
    virtual_service("exportTo: [other], http: [{route: [{destination: {host: api}}]}]") + "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web-here, namespace: shop}
spec: {hosts: [web], exportTo: ['.'], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: api}}]}, {route: [{destination: {host: web}}]}]}
" => |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.get("/a").lands_on("api").map(drop)
    };
    tcp ["spec.tcp[].route[].destination.host", "spec.tcp[].route[].weight", "spec.tcp[].match[].port"]
    virtual_service("tcp: [{match: [{port: 90}], route: [{destination: {host: api, port: {number: 90}}, weight: 100}]}]") => |shop: &mut Shop| {
        tcp_lands_on(shop, "api")
    };
    tcp_by_source ["spec.tcp[].match[].sourceLabels", "spec.tcp[].match[].sourceNamespace", "spec.tcp[].match[].sourceSubnet",
                   "spec.tcp[].match[].destinationSubnets", "spec.tcp[].match[].gateways"]
    virtual_service("tcp: [{match: [{sourceLabels: {tier: silver}}, {sourceNamespace: other}, {sourceSubnet: 10.9.0.0/16}, {destinationSubnets: [10.97.0.0/16]}, {gateways: [edge]}],
        route: [{destination: {host: web, port: {number: 90}}}]},
        {match: [{sourceLabels: {tier: gold}, sourceNamespace: shop, sourceSubnet: 10.1.0.0/16, destinationSubnets: [10.96.0.0/16], gateways: [mesh]}],
        route: [{destination: {host: api, port: {number: 90}}}]}]") => |shop: &mut Shop| {
        tcp_lands_on(shop, "api")
    };
    tcp_subsets ["spec.tcp[].route[].destination.port.number", "spec.tcp[].route[].destination.subset"]
    virtual_service("tcp: [{route: [{destination: {host: web, port: {number: 90}, subset: v2}}]}]") + &destination_rule(SUBSETS)
    => |shop: &mut Shop| {
        for _ in 0..4 {
            tcp_lands_on(shop, "web-v2")?;
        }
        Ok(())
    };
    tls ["spec.tls[].match[].sniHosts", "spec.tls[].match[].port", "spec.tls[].route[].destination.host",
         "spec.tls[].route[].destination.port.number", "spec.tls[].route[].destination.subset", "spec.tls[].route[].weight"]
    virtual_service("tls: [{match: [{sniHosts: [a.example.com], port: 443}], route: [{destination: {host: api, port: {number: 443}}, weight: 100}]},
        {match: [{sniHosts: ['*.example.com']}], route: [{destination: {host: web, port: {number: 443}, subset: v1}}]},
        {match: [{sniHosts: ['*']}], route: [{destination: {host: web, port: {number: 443}, subset: v2}}]}]")
        + &destination_rule(SUBSETS) => |shop: &mut Shop| {
        tls_lands_on(shop, "a.example.com", "api")?;
        tls_lands_on(shop, "b.example.com", "web-v1")?;
        tls_lands_on(shop, "example.org", "web-v2")
    };
    tls_by_source ["spec.tls[].match[].sourceLabels", "spec.tls[].match[].sourceNamespace", "spec.tls[].match[].destinationSubnets",
                   "spec.tls[].match[].gateways"]
    virtual_service("tls: [{match: [{sniHosts: ['*'], sourceLabels: {tier: silver}}, {sniHosts: ['*'], sourceNamespace: other},
        {sniHosts: ['*'], destinationSubnets: [10.97.0.0/16]}, {sniHosts: ['*'], gateways: [edge]}], route: [{destination: {host: web, port: {number: 443}}}]},
        {match: [{sniHosts: ['*'], sourceLabels: {tier: gold}, sourceNamespace: shop, destinationSubnets: [10.96.0.0/16], gateways: [mesh]}],
        route: [{destination: {host: api, port: {number: 443}}}]}]") => |shop: &mut Shop| {
        tls_lands_on(shop, "a.example.com", "api")
    };
    redirect_of_a_prefix ["spec.http[].redirect.prefixRewrite"]
    virtual_service("http: [{match: [{uri: {prefix: /old/}}], redirect: {prefixRewrite: /new/}}]") => |shop: &mut Shop| {
        let answer = shop.get("/old/a?b=c").answers(301)?;
        ensure!(answer.header("location").is_some_and(|to| to.ends_with("/new/a?b=c")), "{:?}", answer.headers);
        Ok(())
    };
    mirror_of_a_subset ["spec.http[].mirror.subset", "spec.http[].mirror.port.number", "spec.http[].mirrors[].destination.subset",
                        "spec.http[].mirrors[].destination.port.number"]
    virtual_service("http: [{match: [{uri: {prefix: /1}}], mirror: {host: web, subset: v2, port: {number: 8081}}, route: [{destination: {host: web, subset: v1}}]},
        {mirrors: [{destination: {host: web, subset: v2, port: {number: 8081}}}], route: [{destination: {host: web, subset: v1}}]}]")
        + &destination_rule(SUBSETS) => |shop: &mut Shop| {
        for (path, copies) in [("/1", 1), ("/2", 2)] {
            shop.get(path).lands_on("web-v1")?;
            ambit_tests::until("the copy", std::time::Duration::from_secs(10), || {
                (shop.scene.backend("web-v2").requests() == copies).then_some(())
            })?;
        }
        Ok(())
    };
    a_service_not_there []
    virtual_service("http: [{route: [{destination: {host: nobody}}]}]") => |shop: &mut Shop| {
        shop.get("/").answers(503).map(drop)
    };
}

/// Retries, where all of `web` that is near is `web-v2`.
fn retrying_from_afar(more: &str) -> String {
    to_web(&format!("retries: {{attempts: 3, retryOn: 5xx, backoff: 1ms{more}}}"))
        + &regions(
            "loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}, outlierDetection: {consecutive5xxErrors: 50}",
        )
}

/// `api` has seen so many requests soon.
fn mirrored(shop: &Shop, wanted: usize) -> Result<()> {
    ambit_tests::until("the copy", std::time::Duration::from_secs(10), || {
        (shop.scene.backend("api").requests() == wanted).then_some(())
    })
}

/// A server that speaks first is heard, and bytes come back.
fn tcp_lands_on(shop: &Shop, pod: &str) -> Result<()> {
    let hello = format!("{pod}\n");
    let read = shop.client.exchange((WEB, 90), b"ping", hello.len() + 4)?;
    ensure!(read == format!("{hello}ping").as_bytes(), "{:?}", String::from_utf8_lossy(&read));
    Ok(())
}

/// A connection that begins as TLS does is passed through, to a pod whose name begins so.
pub(crate) fn tls_lands_on(shop: &Shop, server_name: &str, pod: &str) -> Result<()> {
    let hello = client_hello(server_name)?;
    let expected = format!("{pod}\n");
    let read = shop.client.exchange((WEB, 443), &hello, expected.len() + hello.len())?;
    ensure!(
        read.starts_with(expected.as_bytes()),
        "{server_name}: {:?}",
        String::from_utf8_lossy(read.get(..8).unwrap_or(&read))
    );
    ensure!(read.ends_with(&hello), "{server_name}: other bytes came through");
    Ok(())
}

fn client_hello(server_name: &str) -> Result<Vec<u8>> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(ambit_identity::crypto_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), server_name.to_owned().try_into()?)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello)?;
    Ok(hello)
}
