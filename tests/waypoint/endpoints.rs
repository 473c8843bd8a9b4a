//! DestinationRule's choice of endpoints by where they are, how long they are there and how they do.

use std::time::{Duration, Instant};

use ambit_tests::until;
use anyhow::{Result, ensure};

use crate::case::{SUBSETS, Shop, cases, destination_rule, to_web, virtual_service};
use crate::scene::WEB;

const PATIENCE: Duration = Duration::from_secs(90);

/// The client's node is in region r1, that of web-v1 in r2, that of web-v2 in r3.
pub(crate) fn regions(balancer: &str) -> String {
    let node = |number: u8| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{number}, labels: \
             {{topology.kubernetes.io/region: r{number}, topology.kubernetes.io/zone: z{number}}}}}\n"
        )
    };
    destination_rule(&format!("trafficPolicy: {{{balancer}}}")) + &[1, 2, 3].map(node).concat()
}

fn outliers(detection: &str) -> String {
    to_web("retries: {attempts: 0}")
        + &destination_rule(&format!(
            "trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN}}, outlierDetection: \
             {{interval: 1s, baseEjectionTime: 300s, maxEjectionPercent: 50, {detection}}}}}"
        ))
}

cases! {
    shares_by_locality ["spec.trafficPolicy.loadBalancer.localityLbSetting.distribute"]
    regions("loadBalancer: {localityLbSetting: {distribute: [{from: r1/*, to: {r2/*: 80, r3/*: 20}}]}}") => |shop: &mut Shop| {
        let share = shop.share(150, "web-v1")?;
        ensure!((0.65..=0.93).contains(&share), "{share} of the requests where 0.8 were to be");
        Ok(())
    };
    failover_by_region ["spec.trafficPolicy.loadBalancer.localityLbSetting.failover"]
    regions("loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}, outlierDetection: {consecutive5xxErrors: 50}") => |shop: &mut Shop| {
        all_at(shop, "web-v2")
    };
    failover_by_labels ["spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority"]
    regions("loadBalancer: {localityLbSetting: {failoverPriority: [version=v2]}}, outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 300s, maxEjectionPercent: 50}")
    => |shop: &mut Shop| {
        all_at(shop, "web-v2")?;
        fail_on(shop, "web-v2", "500", 3)?;
        all_at(shop, "web-v1")
    };
    no_failover ["spec.trafficPolicy.loadBalancer.localityLbSetting.enabled"]
    regions("loadBalancer: {localityLbSetting: {enabled: false, failover: [{from: r1, to: r3}]}}, outlierDetection: {consecutive5xxErrors: 50}") => |shop: &mut Shop| {
        let share = shop.share(60, "web-v1")?;
        ensure!((0.2..=0.8).contains(&share), "{share} of the requests to one of two");
        Ok(())
    };
    warmup ["spec.trafficPolicy.loadBalancer.warmup"]
    destination_rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 20s, minimumPercent: 1, aggression: 1}}}") => |shop: &mut Shop| {
        warms_up(shop)
    };
    warmup_of_old ["spec.trafficPolicy.loadBalancer.warmupDurationSecs"]
    destination_rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: 20s}}") => |shop: &mut Shop| {
        warms_up(shop)
    };
    gateway_errors ["spec.trafficPolicy.outlierDetection.consecutiveGatewayErrors"]
    outliers("consecutive5xxErrors: 0, consecutiveGatewayErrors: 3") => |shop: &mut Shop| {
        fail_on(shop, "web-v1", "500", 4)?;
        ensure!(shop.share(20, "web-v1")? > 0.0, "500 is no error of a gateway");
        fail_on(shop, "web-v1", "503", 3)?;
        all_at(shop, "web-v2")
    };
    errors_of_old ["spec.trafficPolicy.outlierDetection.consecutiveErrors"]
    outliers("consecutive5xxErrors: 0, consecutiveErrors: 3") => |shop: &mut Shop| {
        fail_on(shop, "web-v1", "502", 3)?;
        all_at(shop, "web-v2")
    };
    failures_of_connections ["spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures", "spec.trafficPolicy.outlierDetection.splitExternalLocalOriginErrors"]
    outliers("consecutive5xxErrors: 2, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4") => |shop: &mut Shop| {
        reset_on(shop, "web-v1", 3)?;
        ensure!(shop.share(20, "web-v1")? > 0.0, "who hung up counts as who answered");
        reset_on(shop, "web-v1", 4)?;
        all_at(shop, "web-v2")
    };
    failures_are_errors_unless_split []
    outliers("consecutive5xxErrors: 2, splitExternalLocalOriginErrors: false") => |shop: &mut Shop| {
        reset_on(shop, "web-v1", 2)?;
        all_at(shop, "web-v2")
    };
    health_at_least ["spec.trafficPolicy.outlierDetection.minHealthPercent"]
    outliers("consecutive5xxErrors: 2, minHealthPercent: 60") => |shop: &mut Shop| {
        fail_on(shop, "web-v1", "500", 2)?;
        shop.client.until("the ejection", || shop.scene.log().contains("Ejected").then_some(()))?;
        ensure!(shop.share(20, "web-v1")? > 0.0, "of half of the endpoints, one was left out");
        Ok(())
    };
    codes_that_are_errors ["spec.trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes"]
    outliers("consecutive5xxErrors: 3, outlierDetectionHttpErrorCodes: [429]") => |shop: &mut Shop| {
        fail_on(shop, "web-v1", "500", 4)?;
        ensure!(shop.share(20, "web-v1")? > 0.0, "500 is not on the list");
        fail_on(shop, "web-v1", "429", 3)?;
        all_at(shop, "web-v2")
    };
    settings_of_a_port ["spec.trafficPolicy.portLevelSettings[].port.number", "spec.trafficPolicy.portLevelSettings[].loadBalancer.simple",
                        "spec.trafficPolicy.portLevelSettings[].connectionPool.http.h2UpgradePolicy",
                        "spec.trafficPolicy.portLevelSettings[].outlierDetection.consecutive5xxErrors"]
    destination_rule("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}, portLevelSettings: [{port: {number: 8081},
        loadBalancer: {simple: ROUND_ROBIN}, connectionPool: {http: {h2UpgradePolicy: UPGRADE}}, outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 300s}}]}") => |shop: &mut Shop| {
        let pods = |port: u16| -> Result<Vec<String>> {
            (0..8).map(|_| Ok(shop.get("/").with("x-user", "anna").to(WEB, port).lands_on("web")?.pod())).collect()
        };
        let (at_80, at_8081) = (pods(80)?, pods(8081)?);
        ensure!(at_80.windows(2).all(|two| two[0] == two[1]), "{at_80:?}");
        ensure!(at_8081.windows(2).any(|two| two[0] != two[1]), "{at_8081:?}");
        ensure!(shop.get("/").lands_on("web")?.seen()["version"] == "HTTP/1.1", "another port's setting");
        ensure!(shop.get("/").to(WEB, 8081).lands_on("web")?.seen()["version"] == "HTTP/2.0", "the port's setting");
        let mut failed = 0;
        while failed < 2 {
            failed += usize::from(shop.get("/").to(WEB, 8081).with("x-test-fail-on", "web-v1").send()?.status == 500);
        }
        ensure!(pods(8081)?.iter().all(|pod| pod == "web-v2"), "web-v1 is still asked");
        Ok(())
    };
    rules_of_other_namespaces ["spec.exportTo"]
    to_v2() + &of_the_mesh("exportTo: [other]") => |shop: &mut Shop| {
        shop.get("/").answers(503)?;
        for (exported, is_seen) in [("exportTo: [shop]", true), ("exportTo: ['~']", false), ("exportTo: ['*']", true)] {
            shop.scene.write(&(to_v2() + &of_the_mesh(exported)))?;
            shop.client.until(exported, || (shop.get("/").send().ok()?.pod() == "web-v2").eq(&is_seen).then_some(()))?;
        }
        Ok(())
    };
    rules_of_other_clients ["spec.workloadSelector"]
    to_v2() + &destination_rule(&format!("workloadSelector: {{matchLabels: {{app: client}}}}, {SUBSETS}")) => |shop: &mut Shop| {
        // Who connects is the waypoint.
        shop.get("/").answers(503)?;
        let selector = "workloadSelector: {matchLabels: {gateway.networking.k8s.io/gateway-name: waypoint}}";
        shop.scene.write(&(to_v2() + &destination_rule(&format!("{selector}, {SUBSETS}"))))?;
        shop.client.until("the rule", || shop.get("/").lands_on("web-v2").ok().map(drop))
    };
}

fn to_v2() -> String {
    virtual_service("http: [{route: [{destination: {host: web, subset: v2}}]}]")
}

/// A rule in the mesh's root namespace.
fn of_the_mesh(more: &str) -> String {
    let rule = destination_rule(&format!("{more}, {SUBSETS}")).replace("namespace: shop", "namespace: istio-system");
    rule.replace("host: web,", "host: web.shop.svc.cluster.local,")
}

fn all_at(shop: &Shop, pod: &str) -> Result<()> {
    for _ in 0..12 {
        shop.get("/").lands_on(pod)?;
    }
    Ok(())
}

/// A pod fails so often in a row; the other one's answers are good.
fn fail_on(shop: &Shop, pod: &str, status: &str, times: usize) -> Result<()> {
    let mut failed = 0;
    while failed < times {
        let answer = shop.get("/").with("x-test-fail-on", &format!("{pod} {status}")).send()?;
        failed += usize::from(answer.status.as_str() == status);
    }
    Ok(())
}

/// A pod hangs up so often in a row.
fn reset_on(shop: &Shop, pod: &str, times: usize) -> Result<()> {
    let mut failed = 0;
    while failed < times {
        let answer = shop.get("/").with("x-test-reset-on", pod).send()?;
        failed += usize::from(answer.status == 503);
    }
    Ok(())
}

/// A pod that has just come gets less than its share, and in the end as much as the other.
fn warms_up(shop: &Shop) -> Result<()> {
    shop.scene.set_ready("web-v2", false)?;
    shop.client.until("one pod", || (shop.share(6, "web-v1").ok()? >= 1.0).then_some(()))?;
    let warm = Instant::now() + Duration::from_secs(20);
    until("one that is warm", PATIENCE, || (all_at(shop, "web-v1").is_ok() && Instant::now() > warm).then_some(()))?;
    shop.scene.set_ready("web-v2", true)?;
    shop.client.until("the other pod", || shop.get("/").lands_on("web-v2").ok())?;
    let share = shop.share(30, "web-v2")?;
    ensure!(share < 0.4, "{share} of the requests to who has just come");
    until("both warm", PATIENCE, || (shop.share(20, "web-v2").ok()? > 0.4).then_some(()))
}
