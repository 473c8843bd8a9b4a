//! RateLimitPolicy: buckets of the waypoint's own, and a service that counts for all.

use anyhow::{Result, ensure};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::case::{Shop, run, to_web, virtual_service};
use crate::counts::{ADDRESS, Counts};
use crate::scene::WEB;

/// A policy with this target and these rules, in one line.
fn policy(target: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: ambit.io/v1alpha1\nkind: RateLimitPolicy\nmetadata: {{name: limits, namespace: shop}}\n\
         spec: {{targetRefs: [{target}], {rules}}}\n"
    )
}

const WEB_SERVICE: &str = "{kind: Service, name: web}";

/// A service that counts, and a policy that asks it: an hour's patience, or none at all.
fn global(more: &str, rules: &str) -> String {
    let service = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: counts, namespace: shop, labels: {{istio.io/use-waypoint: none}}}}\n\
         spec: {{clusterIP: 10.96.0.41, selector: {{app: counts}}, ports: [{{name: grpc, port: 8081}}]}}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: counts, namespace: shop, labels: {{app: counts}}}}\n\
         spec: {{serviceAccountName: counts, nodeName: node-1, containers: []}}\n\
         status: {{phase: Running, podIP: {ADDRESS}, conditions: [{{type: Ready, status: 'True'}}]}}\n"
    );
    let to = format!("global: {{host: counts, port: 8081, domain: shop, timeout: 10s{more}}}, rules: {rules}");
    service + &policy(WEB_SERVICE, &to)
}

#[test]
fn a_client_has_a_bucket_of_its_own_and_is_told_of_it() -> Result<()> {
    let rules = "rules: [{name: each-client, key: [{clientIdentity: true}], local: {requests: 2, per: 1h}}]";
    run(&policy(WEB_SERVICE, rules), |shop: &mut Shop| {
        let first = shop.get("/").lands_on("web")?;
        ensure!(first.header("ratelimit-policy") == Some("\"each-client\";q=2;w=3600"), "{:?}", first.headers);
        ensure!(first.header("ratelimit") == Some("\"each-client\";r=1;t=1800"), "{:?}", first.headers);
        shop.get("/").lands_on("web")?;
        let over = shop.get("/").answers(429)?;
        ensure!(over.header("x-envoy-ratelimited") == Some("true"), "{:?}", over.headers);
        let wait: u32 = over.header("retry-after").unwrap_or_default().parse()?;
        ensure!((1..=1800).contains(&wait), "{wait}");
        ensure!(over.header("ratelimit").is_some_and(|told| told.contains("r=0")), "{:?}", over.headers);
        shop.get("/").by_stranger().lands_on("web")?;
        let (_, metrics) = shop.scene.http(15020, "/metrics")?;
        let counted = "ambit_rate_limits_total{policy=\"shop/limits\",rule=\"each-client\",outcome=\"limited\"} 1";
        ensure!(metrics.contains(counted), "no {counted} in {metrics}");
        let logged = || {
            shop.scene
                .access_log()
                .lines()
                .any(|line| line.contains("RL") && line.contains("local_rate_limited"))
                .then_some(())
        };
        shop.client.until("the log says RL", logged)
    })
}

#[test]
fn what_has_nothing_in_common_counts_apart_and_all_workers_count_together() -> Result<()> {
    let rules = "rules: [{name: posts, match: {methods: [POST], paths: [{prefix: /pay}]}, key: [{header: x-user}],
        local: {requests: 1, per: 1h, burst: 2}}, {name: all-to-see, match: {paths: [{exact: /see}]}, local: {requests: 2, per: 1h}}]";
    run(&policy(WEB_SERVICE, rules), |shop: &mut Shop| {
        let pay = |user| shop.get("/pay/x").method(Method::POST, "1").with("x-user", user);
        pay("joe").lands_on("web")?;
        pay("joe").lands_on("web")?;
        pay("joe").answers(429)?;
        pay("ann").lands_on("web")?;
        shop.get("/pay/x").with("x-user", "joe").lands_on("web")?;
        shop.get("/see").lands_on("web")?;
        shop.get("/see").by_stranger().lands_on("web")?;
        shop.get("/see").answers(429)?;
        shop.get("/see").by_stranger().answers(429)?;
        shop.get("/other").lands_on("web").map(drop)
    })
}

#[test]
fn a_limit_hangs_on_a_rule_of_a_route_a_port_or_where_it_leads() -> Result<()> {
    let rule = "rules: [{name: one, local: {requests: 1, per: 1h}}]";
    let routes = virtual_service(
        "http: [{name: pay, match: [{uri: {prefix: /pay}}], route: [{destination: {host: web}}]}, {route: [{destination: {host: web}}]}]",
    );
    let pay = "{group: networking.istio.io, kind: VirtualService, name: web, sectionName: pay}";
    run(&(routes + &policy(pay, rule)), |shop: &mut Shop| {
        shop.get("/pay").lands_on("web")?;
        shop.get("/pay").answers(429)?;
        shop.get("/").lands_on("web").map(drop)
    })?;
    run(&policy("{kind: Service, name: web, sectionName: http-alt}", rule), |shop: &mut Shop| {
        shop.get("/").to(WEB, 8081).lands_on("web")?;
        shop.get("/").to(WEB, 8081).answers(429)?;
        shop.get("/").lands_on("web").map(drop)
    })?;
    let to_api = virtual_service("http: [{route: [{destination: {host: api, port: {number: 80}}}]}]");
    run(&(to_api + &policy("{kind: Service, name: api}", rule)), |shop: &mut Shop| {
        shop.get("/").lands_on("api")?;
        shop.get("/").answers(429).map(drop)
    })
}

#[test]
fn a_change_of_a_route_fills_no_bucket() -> Result<()> {
    let limit =
        policy(WEB_SERVICE, "rules: [{name: one, match: {paths: [{exact: /}]}, local: {requests: 1, per: 1h}}]");
    run(&limit, |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        shop.get("/").answers(429)?;
        shop.scene.write(&(to_web("headers: {response: {set: {x-new: '1'}}}") + &limit))?;
        let is_new = || shop.get("/free").send().ok().filter(|answer| answer.header("x-new").is_some());
        ambit_tests::until("the new route", std::time::Duration::from_secs(10), is_new)?;
        shop.get("/").answers(429).map(drop)
    })
}

#[test]
fn a_rehearsal_refuses_nothing_and_grpc_is_told_in_its_own_words() -> Result<()> {
    let dry = "rules: [{name: one, local: {requests: 1, per: 1h}, dryRun: true, responseHeaders: false}]";
    run(&policy(WEB_SERVICE, dry), |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        let over = shop.get("/").lands_on("web")?;
        ensure!(over.header("ratelimit").is_none(), "{:?}", over.headers);
        let (_, metrics) = shop.scene.http(15020, "/metrics")?;
        ensure!(metrics.contains("rule=\"one\",outcome=\"dry_run\"} 1"), "{metrics}");
        Ok(())
    })?;
    for (more, status) in [("", "14"), ("rateLimitedAsResourceExhausted: true, ", "8")] {
        let rules = format!("{more}rules: [{{name: one, local: {{requests: 1, per: 1h}}}}]");
        run(&policy(WEB_SERVICE, &rules), |shop: &mut Shop| {
            let call = || shop.get("/shop.Web/Get").method(Method::POST, "").with("content-type", "application/grpc");
            call().http2().to(WEB, 81).answers(200)?;
            let over = call().http2().to(WEB, 81).answers(200)?;
            ensure!(over.header("grpc-status") == Some(status), "{:?}", over.headers);
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_service_that_counts_is_told_what_counts_and_obeyed() -> Result<()> {
    let rules = "[{name: users, match: {paths: [{prefix: /pay}]}, key: [{header: x-user}, {clientIdentity: true}],
        global: {descriptors: [{key: generic_key, value: pay}]}}, {name: all, global: {domain: other, descriptors: [{key: all, value: '1'}]}, dryRun: true}]";
    run(&global("", rules), |shop: &mut Shop| {
        let counts = Counts::start(shop.scene.netns(), 2)?;
        let pay = |user| shop.get("/pay").with("x-user", user);
        let first = pay("joe").lands_on("web")?;
        ensure!(first.header("ratelimit") == Some("\"users\";r=1;t=30"), "{:?}", first.headers);
        ensure!(first.header("x-counted") == Some("yes"), "{:?}", first.headers);
        ensure!(first.header("content-type").is_none(), "the kind of a body that is not there: {:?}", first.headers);
        // Of each of the two domains.
        ensure!(first.seen()["headers"]["x-counted"] == "for you,for you", "{:?}", first.seen());
        pay("joe").lands_on("web")?;
        let over = pay("joe").answers(429)?;
        ensure!(over.header("retry-after") == Some("30"), "{:?}", over.headers);
        ensure!(over.body == "too many", "{:?}", over.body);
        let kinds: Vec<_> = over.headers.get_all("content-type").iter().collect();
        ensure!(kinds == ["application/json"], "{:?}", over.headers);
        pay("ann").lands_on("web")?;
        shop.get("/").lands_on("web")?;
        let asked = counts.asked();
        let client = "client_identity=spiffe://cluster.local/ns/shop/sa/client";
        for expected in [format!("shop 1: generic_key=pay,x-user=joe,{client}"), "other 1: all=1".to_owned()] {
            ensure!(asked.contains(&expected), "no {expected} in {asked:?}");
        }
        ensure!(asked.iter().filter(|asked| asked.starts_with("shop")).count() == 4, "{asked:?}");
        Ok(())
    })
}

#[test]
fn without_the_service_that_counts_requests_go_on_or_not_as_said() -> Result<()> {
    let rules = "[{name: all, global: {descriptors: [{key: all, value: '1'}]}}]";
    for (more, status, outcome) in [(", failureMode: Allow", 200, "failed_open"), ("", 500, "failed_closed")] {
        run(&global(more, rules), |shop: &mut Shop| {
            // Nothing listens there.
            shop.get("/").answers(status)?;
            let (_, metrics) = shop.scene.http(15020, "/metrics")?;
            ensure!(metrics.contains(&format!("rule=\"all\",outcome=\"{outcome}\"}} 1")), "{metrics}");
            let flagged = || shop.scene.access_log().lines().any(|line| line.contains("RLSE")).then_some(());
            if status == 500 { shop.client.until("the log says RLSE", flagged) } else { Ok(()) }
        })?;
    }
    Ok(())
}

#[test]
fn a_service_that_does_not_answer_in_time_is_away() -> Result<()> {
    let rules = "[{name: all, global: {descriptors: [{key: all, value: '1'}]}}]";
    let hasty = global("", rules).replace("timeout: 10s", "timeout: 50ms");
    run(&hasty, |shop: &mut Shop| {
        let address = std::net::SocketAddr::from((ADDRESS, 8081));
        // Takes connections, and says nothing.
        let _listener = shop.scene.netns().run(|| std::net::TcpListener::bind(address))??;
        shop.get("/").answers(500).map(drop)
    })
}

#[test]
fn a_page_can_see_that_it_is_limited() -> Result<()> {
    let cors = to_web("corsPolicy: {allowOrigins: [{exact: 'https://a.example'}], allowMethods: [GET]}");
    let limit = policy(WEB_SERVICE, "rules: [{name: one, local: {requests: 1, per: 1h}}]");
    run(&(cors + &limit), |shop: &mut Shop| {
        let ask = || shop.get("/").with("origin", "https://a.example");
        ask().lands_on("web")?;
        let over = ask().answers(429)?;
        let origins: Vec<_> = over.headers.get_all("access-control-allow-origin").iter().collect();
        ensure!(origins == ["https://a.example"], "{:?}", over.headers);
        let stranger = shop.get("/").with("origin", "https://b.example").answers(429)?;
        ensure!(stranger.header("access-control-allow-origin").is_none(), "{:?}", stranger.headers);
        Ok(())
    })
}

#[test]
fn operators_see_which_limits_there_are_and_which_count_a_request() -> Result<()> {
    let rules = "rules: [{name: pays, match: {paths: [{prefix: /pay}]}, key: [{clientIdentity: true}], local: {requests: 2, per: 1h}},
        {name: rest, local: {requests: 5, per: 1s, burst: 7}, dryRun: true}]";
    run(&policy("{kind: Service, name: web, sectionName: http}", rules), |shop: &mut Shop| {
        let (_, routes) = shop.scene.http(15000, "/routes")?;
        for line in [
            "- limit: \"shop/limits pays: 2 in 3600s, 2 at once for each client_identity of port 80\"",
            "- limit: \"shop/limits rest: 5 in 1s, 7 at once, dry run of port 80\"",
        ] {
            ensure!(routes.contains(line), "no {line} in {routes}");
        }
        for (question, expected) in [
            ("path=/pay/1", &["limit: shop/limits pays", "limit: shop/limits rest"][..]),
            ("path=/", &["limit: shop/limits rest"]),
            ("path=/pay&port=8081", &[]),
        ] {
            let (_, told) = shop.scene.http(15000, &format!("/explain?service=web.shop&{question}"))?;
            let limits: Vec<_> = told.lines().filter(|line| line.starts_with("limit: ")).collect();
            let is_told = limits.iter().zip(expected).all(|(line, expected)| line.starts_with(expected));
            ensure!(limits.len() == expected.len() && is_told, "{question}: {told}");
        }
        Ok(())
    })
}

#[test]
fn what_the_counting_service_tells_the_backend_is_nothing_policies_judge() -> Result<()> {
    let deny = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: told, namespace: shop}\n\
        spec: {targetRefs: [{kind: Service, name: web}], action: DENY, rules: [{when: [{key: 'request.headers[x-counted]', values: ['*']}]}]}\n";
    let rules = "[{name: all, global: {descriptors: [{key: all, value: '1'}]}}]";
    run(&(global("", rules) + deny), |shop: &mut Shop| {
        let _counts = Counts::start(shop.scene.netns(), 10)?;
        // One that may go on for long is judged again from its first moment.
        let long = shop.get("/").with("accept", "text/event-stream").lands_on("web")?;
        ensure!(long.seen()["headers"]["x-counted"] == "for you", "{:?}", long.seen());
        shop.get("/").with("x-counted", "for me").answers(403).map(drop)
    })
}

#[test]
fn silence_is_no_way_round_a_limit() -> Result<()> {
    let limit = policy(WEB_SERVICE, "rules: [{name: one, local: {requests: 1, per: 1h}}]");
    for (objects, is_answered) in [(limit.as_str(), false), ("", true)] {
        run(objects, |shop: &mut Shop| {
            let request = b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
            let mut stream = shop.client.block_on(shop.client.open((WEB, 82)))?;
            // Until the waypoint has decided what this is: it counts as open then.
            let is_open = |metrics: &str| metrics.contains("istio_tcp_connections_opened_total{");
            let counted = || shop.scene.http(15020, "/metrics").ok().filter(|(_, metrics)| is_open(metrics));
            shop.client.until("a connection that counts as open", counted)?;
            let got = shop.client.block_on(async {
                stream.write_all(request).await?;
                let mut got = Vec::new();
                let read = stream.read_to_end(&mut got).await;
                anyhow::Ok(read.map(|_| String::from_utf8_lossy(&got).into_owned()))
            })?;
            let answered = got.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200"));
            ensure!(answered == is_answered, "{got:?}");
            // Who does not wait is served.
            shop.get("/").to(WEB, 82).lands_on("web")?;
            let reached: usize = ["web-v1", "web-v2"].map(|pod| shop.scene.backend(pod).requests()).iter().sum();
            ensure!(reached == 1 + usize::from(is_answered), "{reached} requests have reached a backend");
            Ok(())
        })?;
    }
    Ok(())
}
