use super::*;
use crate::{Compiled, Store};

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: shop, labels: {app: web}}
spec:
  containers: [{name: a, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]
  initContainers:
  - {name: b, restartPolicy: Always, ports: [{name: metrics, containerPort: 9090}]}
  - {name: c, ports: [{name: setup, containerPort: 7}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: shop, labels: {app: web}}
spec: {containers: [{name: a, ports: [{name: http, containerPort: 8081}]}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: three, namespace: other, labels: {app: web}}
status: {podIP: 10.0.0.3}
---
";

/// The service shop/web of this spec before the pods above; and what was said.
fn compile(spec: &str) -> (Compiled, Vec<String>) {
    let text =
        format!("{PODS}apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec: {{{spec}}}\n");
    let mut store = Store::default();
    let said = store.replace_file("f", &text);
    let said = said.iter().map(|i| format!("{} {}: {}", i.severity.word(), i.field, i.problem)).collect();
    (store.compile(), said)
}

#[test]
fn endpoints_are_the_selected_pods_with_their_own_ports() {
    for (spec, expected) in [
        ("selector: {app: web}, ports: [{port: 80, targetPort: http}]", "one 80>8080, two 80>8081"),
        ("selector: {app: web}, ports: [{port: 80, targetPort: 8080}]", "one 80>8080, two 80>8080"),
        ("selector: {app: web}, ports: [{port: 80}]", "one 80>80, two 80>80"),
        ("selector: {app: web}, ports: [{port: 80, targetPort: metrics}]", "one 80>9090"),
        (
            "selector: {app: web}, ports: [{port: 80, targetPort: http}, {port: 90, name: m, targetPort: metrics}]",
            "one 80>8080 90>9090, two 80>8081",
        ),
        ("selector: {app: web}, ports: [{port: 80, targetPort: setup}]", ""),
        ("selector: {app: web}, ports: [{port: 80, targetPort: dns}]", ""),
        ("selector: {app: web}, ports: [{port: 53, protocol: UDP}]", ""),
        ("selector: {app: web, tier: x}, ports: [{port: 80}]", ""),
        ("ports: [{port: 80}]", ""),
        ("selector: {app: web}, type: ExternalName, externalName: x.org, ports: [{port: 80}]", ""),
    ] {
        let (compiled, said) = compile(spec);
        let endpoint = |w: &ambit_model::Workload| {
            let ports =
                w.services.iter().flat_map(|(_, ports)| ports).map(|p| format!("{}>{}", p.service_port, p.target_port));
            (!w.services.is_empty()).then(|| format!("{} {}", w.name(), ports.collect::<Vec<_>>().join(" ")))
        };
        let found: Vec<_> = compiled.workloads.iter().filter_map(|workload| endpoint(workload)).collect();
        assert_eq!(found.join(", "), expected, "{spec}");
        assert_eq!(said, [] as [String; 0]);
    }
}

#[test]
fn addresses_and_choice() {
    let plain = (HealthPolicy::OnlyHealthy, LoadBalancingMode::Unspecified);
    for (spec, addresses, (health, choice)) in [
        ("", "", plain),
        ("clusterIP: 10.1.0.1", "10.1.0.1", plain),
        ("clusterIP: 10.1.0.1, clusterIPs: [10.1.0.1, 'fd00::1']", "10.1.0.1 fd00::1", plain),
        ("clusterIP: None, clusterIPs: [None]", "", plain),
        ("publishNotReadyAddresses: true", "", (HealthPolicy::AllowAll, LoadBalancingMode::Unspecified)),
        ("internalTrafficPolicy: Local", "", (HealthPolicy::OnlyHealthy, LoadBalancingMode::StrictNode)),
        (
            "internalTrafficPolicy: Cluster, trafficDistribution: PreferSameNode",
            "",
            (HealthPolicy::OnlyHealthy, LoadBalancingMode::PreferNode),
        ),
        ("trafficDistribution: PreferClose", "", (HealthPolicy::OnlyHealthy, LoadBalancingMode::PreferZone)),
        ("trafficDistribution: PreferSameZone", "", (HealthPolicy::OnlyHealthy, LoadBalancingMode::PreferZone)),
    ] {
        let (compiled, said) = compile(spec);
        let service = &compiled.services[0];
        let found: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            (found.join(" ").as_str(), service.health_policy, service.load_balancing),
            (addresses, health, choice)
        );
        assert_eq!(service.key.to_string(), "shop/web.shop.svc.cluster.local");
        assert_eq!(said, [] as [String; 0]);
    }
    assert_eq!(compile("type: ExternalName").0.services, []);
}

#[test]
fn what_is_not_done_is_said() {
    for (spec, expected) in [
        ("sessionAffinity: None", None),
        ("sessionAffinity: ClientIP", Some("warning spec.sessionAffinity: session affinity is not supported")),
        ("trafficDistribution: Any", None),
        ("trafficDistribution: Near", Some("warning spec.trafficDistribution: \"Near\" means nothing here")),
    ] {
        let (compiled, said) = compile(spec);
        assert_eq!((said.len(), compiled.services.len()), (usize::from(expected.is_some()), 1), "{said:?}");
        assert!(said.first().is_none_or(|said| said.starts_with(expected.unwrap_or_default())), "{said:?}");
    }
}

#[test]
fn protocols_come_from_the_port_or_its_name() {
    for (port, expected) in [
        ("", AppProtocol::Unknown),
        ("name: http", AppProtocol::Http11),
        ("name: http-web", AppProtocol::Http11),
        ("name: httpx", AppProtocol::Unknown),
        ("name: http2-x", AppProtocol::Http2),
        ("name: grpc-x", AppProtocol::Grpc),
        ("name: https", AppProtocol::Tls),
        ("name: http-x, appProtocol: tcp", AppProtocol::Tcp),
        ("appProtocol: kubernetes.io/h2c", AppProtocol::Http2),
        ("name: http, appProtocol: example.org/own", AppProtocol::Unknown),
    ] {
        let (compiled, _) = compile(&format!("ports: [{{port: 80, {port}}}]"));
        assert_eq!(compiled.services[0].ports[0].app_protocol, expected, "{port}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (spec, expected) in [
        ("clusterIP: web", "error spec.clusterIP: \"web\" is not an IP address"),
        ("clusterIPs: [10.0.0.1, x]", "error spec.clusterIPs[1]"),
        ("ports: [{port: 0}]", "error spec.ports[0].port"),
        ("ports: [{port: 80, targetPort: 0}]", "error spec.ports[0].targetPort"),
        ("ports: [{port: 80, targetPort: '8080'}]", "error spec.ports[0].targetPort: \"8080\" is not a port"),
        ("ports: [{port: 80, targetPort: 70000}]", "error spec.ports[0].targetPort"),
        ("ports: [{targetPort: 80}]", "error spec.ports[0]: missing field `port`"),
    ] {
        let (compiled, said) = compile(spec);
        assert!(said.iter().any(|s| s.starts_with(expected)), "{said:?}");
        assert_eq!(compiled.services, []);
    }
}
