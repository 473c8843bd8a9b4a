//! Services that would have endpoints near to the client, behind the waypoint.

use anyhow::{Result, ensure};

use crate::backend::Backend;
use crate::case::{self, Shop, rule_of};

/// The client's node, which is the waypoint's too, is in zone a, as is that of web-v2; that of web-v1 is in zone b.
fn zones(rest: &str) -> String {
    let node = |(number, zone): &(u8, &str)| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{number}, labels: \
             {{topology.kubernetes.io/region: r, topology.kubernetes.io/zone: {zone}}}}}\n"
        )
    };
    [(1, "a"), (2, "b"), (3, "a")].iter().map(node).collect::<String>() + rest
}

/// `web` with more in its spec, by another address.
fn near(more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: near, namespace: shop}}\n\
         spec: {{clusterIP: 10.96.0.77, selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}], {more}}}\n"
    )
}

/// Who answers within so many requests as leave out one of two with a chance of a billionth.
fn answering(shop: &Shop) -> Result<Vec<String>> {
    let mut pods =
        (0..30).map(|_| Ok(shop.get("/").to([10, 96, 0, 77].into(), 80).send()?.pod())).collect::<Result<Vec<_>>>()?;
    pods.sort();
    pods.dedup();
    Ok(pods)
}

#[test]
fn a_zone_is_preferred_and_left_when_nobody_is_ready_there() -> Result<()> {
    case::run(&zones(&near("trafficDistribution: PreferSameZone")), |shop| {
        ensure!(answering(shop)? == ["web-v2"], "{:?}", answering(shop)?);
        shop.scene.set_ready("web-v2", false)?;
        shop.client.until("the other zone", || (answering(shop).ok()? == ["web-v1"]).then_some(()))?;
        shop.scene.set_ready("web-v2", true)?;
        shop.client.until("the zone", || (answering(shop).ok()? == ["web-v2"]).then_some(()))?;
        // A rule that says something else of it goes before.
        let rule = rule_of(
            "near",
            "trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: '*', to: {'*': 100}}]}}}",
        );
        shop.scene.write(&zones(&(near("trafficDistribution: PreferSameZone") + &rule)))?;
        shop.client.until("the rule", || (answering(shop).ok()? == ["web-v1", "web-v2"]).then_some(()))
    })
}

#[test]
fn a_service_of_each_node_is_asked_at_the_clients() -> Result<()> {
    case::run(&zones(&near("internalTrafficPolicy: Local")), |shop| {
        let answer = shop.get("/").to([10, 96, 0, 77].into(), 80).send()?;
        ensure!(answer.status == 503, "nobody is on the client's node: {}", answer.status);
        let _here = Backend::start(shop.scene.netns(), "web-0", [10, 1, 0, 40].into())?;
        let here = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, labels: {app: web}}\n\
                    spec: {serviceAccountName: web, nodeName: node-1, containers: []}\n\
                    status: {phase: Running, podIP: 10.1.0.40, conditions: [{type: Ready, status: 'True'}]}\n";
        shop.scene.write(&zones(&(near("internalTrafficPolicy: Local") + here)))?;
        shop.client.until("the client's node", || (answering(shop).ok()? == ["web-0"]).then_some(()))
    })
}
