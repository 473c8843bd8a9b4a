//! DestinationRule, field by field.

use anyhow::{Result, ensure};

use crate::case::{SUBSETS, Shop, cases, destination_rule, to_web, virtual_service};

cases! {
    round_robin ["spec.host", "spec.trafficPolicy.loadBalancer.simple"]
    destination_rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}") => |shop: &mut Shop| {
        spread(shop, 40)?;
        let seen = ["web-v1", "web-v2"].map(|name| shop.scene.backend(name).requests());
        // Each worker has a turn of its own.
        ensure!(seen[0].abs_diff(seen[1]) <= 8, "{seen:?}");
        Ok(())
    };
    random []
    destination_rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}") => |shop: &mut Shop| spread(shop, 60);
    least_request []
    destination_rule("trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}") => |shop: &mut Shop| spread(shop, 60);
    least_conn_of_old []
    destination_rule("trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}") => |shop: &mut Shop| spread(shop, 60);
    hash_of_header ["spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}") => |shop: &mut Shop| {
        sticks(shop, |shop, user| Ok(shop.get("/").with("x-user", user).lands_on("web")?.pod()))
    };
    hash_of_query ["spec.trafficPolicy.loadBalancer.consistentHash.httpQueryParameterName"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpQueryParameterName: user}}}") => |shop: &mut Shop| {
        sticks(shop, |shop, user| Ok(shop.get(&format!("/?user={user}")).lands_on("web")?.pod()))
    };
    hash_by_maglev ["spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user, maglev: {tableSize: 65537}}}}") => |shop: &mut Shop| {
        sticks(shop, |shop, user| Ok(shop.get("/").with("x-user", user).lands_on("web")?.pod()))
    };
    hash_by_ring ["spec.trafficPolicy.loadBalancer.consistentHash.ringHash.minimumRingSize"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user, ringHash: {minimumRingSize: 2048}}}}") => |shop: &mut Shop| {
        sticks(shop, |shop, user| Ok(shop.get("/").with("x-user", user).lands_on("web")?.pod()))
    };
    hash_by_ring_of_old ["spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user, minimumRingSize: 2048}}}") => |shop: &mut Shop| {
        sticks(shop, |shop, user| Ok(shop.get("/").with("x-user", user).lands_on("web")?.pod()))
    };
    hash_of_source ["spec.trafficPolicy.loadBalancer.consistentHash.useSourceIp"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}") => |shop: &mut Shop| {
        let first = shop.get("/").lands_on("web")?.pod();
        for _ in 0..10 {
            shop.get("/").lands_on(&first)?;
        }
        Ok(())
    };
    hash_of_cookie ["spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.name", "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.path",
                    "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl", "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: session, path: /, ttl: 60s, attributes: [{name: SameSite, value: Strict}]}}}}") => |shop: &mut Shop| {
        let answer = shop.get("/").lands_on("web")?;
        let cookie = answer.header("set-cookie").unwrap_or_default().to_owned();
        ensure!(cookie.starts_with("session=") && cookie.contains("Max-Age=60") && cookie.contains("Path=/"), "{cookie}");
        ensure!(cookie.contains("; SameSite=Strict"), "{cookie}");
        let pair = cookie.split(';').next().unwrap_or_default().to_owned();
        for _ in 0..10 {
            let again = shop.get("/").with("cookie", &pair).lands_on(&answer.pod())?;
            ensure!(again.header("set-cookie").is_none(), "another cookie: {:?}", again.headers);
        }
        Ok(())
    };
    subset_policies ["spec.subsets[].name", "spec.subsets[].labels", "spec.subsets[].trafficPolicy.connectionPool.http.h2UpgradePolicy"]
    virtual_service("http: [{match: [{uri: {prefix: /1}}], route: [{destination: {host: web, subset: v1}}]},
        {route: [{destination: {host: web, subset: v2}}]}]") + &destination_rule("subsets: [{name: v1, labels: {version: v1},
        trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}, {name: v2, labels: {version: v2}}]")
    => |shop: &mut Shop| {
        ensure!(shop.get("/1").lands_on("web-v1")?.seen()["version"] == "HTTP/2.0", "the subset's setting");
        ensure!(shop.get("/2").lands_on("web-v2")?.seen()["version"] == "HTTP/1.1", "another subset's setting");
        Ok(())
    };
    requests_per_connection ["spec.trafficPolicy.connectionPool.http.maxRequestsPerConnection"]
    destination_rule("trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}") => |shop: &mut Shop| {
        for _ in 0..10 {
            shop.get("/").lands_on("web")?;
        }
        let connections: usize = ["web-v1", "web-v2"].map(|name| shop.scene.backend(name).connections()).iter().sum();
        ensure!(connections == 10, "{connections} connections for 10 requests");
        Ok(())
    };
    connections_are_kept []
    destination_rule(SUBSETS) => |shop: &mut Shop| {
        for _ in 0..10 {
            shop.get("/").lands_on("web")?;
        }
        let connections: usize = ["web-v1", "web-v2"].map(|name| shop.scene.backend(name).connections()).iter().sum();
        ensure!(connections < 10, "{connections} connections for 10 requests");
        Ok(())
    };
    outliers ["spec.trafficPolicy.outlierDetection.consecutive5xxErrors", "spec.trafficPolicy.outlierDetection.interval",
              "spec.trafficPolicy.outlierDetection.baseEjectionTime", "spec.trafficPolicy.outlierDetection.maxEjectionPercent"]
    to_web("retries: {attempts: 0}") + &destination_rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}}")
    => |shop: &mut Shop| {
        let failing = shop.get("/").lands_on("web")?.pod();
        let mut failed = 0;
        // Only one of both fails: the other one's answers are good.
        while failed < 3 {
            let answer = shop.get("/").with("x-test-fail-on", &failing).send()?;
            failed += usize::from(answer.status == 500);
        }
        for _ in 0..10 {
            ensure!(shop.get("/").lands_on("web")?.pod() != failing, "{failing} is still asked");
        }
        Ok(())
    };
}

/// Both are asked.
fn spread(shop: &Shop, requests: usize) -> Result<()> {
    let share = shop.share(requests, "web-v1")?;
    ensure!((0.2..=0.8).contains(&share), "{share} of the requests to one of two");
    Ok(())
}

/// A user stays where it was, and not all are at one place.
fn sticks(shop: &Shop, ask: impl Fn(&Shop, &str) -> Result<String>) -> Result<()> {
    let users: Vec<_> = (0..16).map(|number| format!("user-{number}")).collect();
    let first = users.iter().map(|user| ask(shop, user)).collect::<Result<Vec<_>>>()?;
    for (user, pod) in users.iter().zip(&first) {
        for _ in 0..3 {
            ensure!(ask(shop, user)? == *pod, "{user} moved away from {pod}");
        }
    }
    let pods: std::collections::BTreeSet<_> = first.iter().collect();
    ensure!(pods.len() == 2, "all users are at {pods:?}");
    Ok(())
}
