//! The snapshot as JSON, for the admin page. Everything by key, so that two dumps can be compared.

use std::fmt::Display;
use std::sync::Arc;

use ambit_model::{
    Action, Authorization, Clause, GatewayAddress, HealthPolicy, LoadBalancingMode, Match, Rule, SameNode, Scope,
    Service, ServiceAccountMatch, StringMatch, WaypointFailure, Workload,
};
use serde_json::{Map, Value, json};

use crate::{Snapshot, takes_tunnels};

impl Snapshot {
    /// The snapshot as JSON, with the keys `workloads`, `services` and `policies`.
    #[must_use]
    pub fn dump(&self) -> Value {
        let mut workloads: Vec<_> = self.workloads().collect();
        workloads.sort_by(|a, b| a.uid.cmp(&b.uid));
        let mut services: Vec<_> = self.services().collect();
        services.sort_by(|a, b| a.key.cmp(&b.key));
        json!({
            "workloads": workloads.into_iter().map(|it| workload(it)).collect::<Vec<_>>(),
            "services": services.into_iter().map(|it| service(it, self.endpoints(&it.key))).collect::<Vec<_>>(),
            "policies": self.policies().map(|it| policy(it)).collect::<Vec<_>>(),
        })
    }
}

fn workload(workload: &Workload) -> Value {
    let services = workload.services.iter().map(|(key, ports)| {
        let ports = ports.iter().map(|port| json!({ "port": port.service_port, "targetPort": port.target_port }));
        (key.to_string(), ports.collect())
    });
    json!({
        "uid": workload.uid.as_str(),
        "name": workload.name(),
        "namespace": &*workload.namespace,
        "addresses": texts(&workload.addresses),
        "hostname": workload.hostname.as_deref(),
        "node": &*workload.node,
        "identity": workload.identity.to_string(),
        "protocol": if takes_tunnels(workload) { "HBONE" } else { "TCP" },
        "canonicalName": &*workload.canonical_name,
        "canonicalRevision": &*workload.canonical_revision,
        "workloadType": workload.kind.word(),
        "workloadName": workload.workload_name(),
        "services": services.collect::<Map<_, _>>(),
        "authorizationPolicies": texts(&workload.authorization_policies),
        "healthy": workload.healthy,
        "hostNetwork": workload.host_network,
        "nativeTunnel": workload.native_tunnel,
        "waypoint": waypoint(workload.waypoint.as_deref()),
        "waypointFailure": failure(workload.waypoint_failure),
        "cluster": &*workload.cluster,
        "sameNode": workload.same_node.map(|mode| match mode {
            SameNode::Direct => "direct",
            SameNode::Tunnel => "tunnel",
        }),
    })
}

fn service(service: &Service, endpoints: &[Arc<Workload>]) -> Value {
    let ports = service.ports.iter().map(|port| json!({ "port": port.port, "name": &*port.name }));
    json!({
        "name": &*service.name,
        "namespace": &*service.key.namespace,
        "hostname": &*service.key.hostname,
        "vips": texts(&service.addresses),
        "ports": ports.collect::<Vec<_>>(),
        "endpoints": endpoints.iter().map(|endpoint| endpoint.uid.as_str()).collect::<Vec<_>>(),
        "subjectAltNames": texts(&service.subject_alt_names),
        "health": match service.health_policy {
            HealthPolicy::OnlyHealthy => "onlyHealthy",
            HealthPolicy::AllowAll => "allowAll",
        },
        "loadBalancing": match service.load_balancing {
            LoadBalancingMode::Unspecified => "any",
            LoadBalancingMode::StrictNode => "strictNode",
            LoadBalancingMode::PreferNode => "preferNode",
            LoadBalancingMode::PreferZone => "preferZone",
            LoadBalancingMode::Passthrough => "passthrough",
        },
        "waypoint": waypoint(service.waypoint.as_deref()),
        "canary": service.canary.as_ref().map(|it| json!({ "waypoint": waypoint(Some(&it.waypoint)), "percent": it.percent })),
        "waypointFailure": failure(service.waypoint_failure),
        "exportedTo": service.exported_to.as_deref().map(texts),
    })
}

fn waypoint(waypoint: Option<&GatewayAddress>) -> Option<String> {
    waypoint.map(|it| format!("{it}:{}", it.hbone_port))
}

fn failure(failure: WaypointFailure) -> &'static str {
    match failure {
        WaypointFailure::Closed => "closed",
        WaypointFailure::Open => "open",
    }
}

fn policy(policy: &Authorization) -> Value {
    json!({
        "name": &*policy.key.name,
        "namespace": &*policy.key.namespace,
        "scope": match policy.scope {
            Scope::Global => "Global",
            Scope::Namespace => "Namespace",
            Scope::WorkloadSelector => "WorkloadSelector",
        },
        "action": match policy.action {
            Action::Allow => "Allow",
            Action::Deny => "Deny",
        },
        "dryRun": policy.dry_run,
        "rules": policy.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn rule(rule: &Rule) -> Value {
    rule.clauses.iter().map(clause).collect()
}

fn clause(clause: &Clause) -> Value {
    clause.matches.iter().map(one_match).collect()
}

/// Fields that are not set are left out.
fn one_match(m: &Match) -> Value {
    let fields = [
        ("namespaces", patterns(&m.namespaces)),
        ("notNamespaces", patterns(&m.not_namespaces)),
        ("serviceAccounts", accounts(&m.service_accounts)),
        ("notServiceAccounts", accounts(&m.not_service_accounts)),
        ("principals", patterns(&m.principals)),
        ("notPrincipals", patterns(&m.not_principals)),
        ("sourceIps", texts(&m.source_ips)),
        ("notSourceIps", texts(&m.not_source_ips)),
        ("destinationIps", texts(&m.destination_ips)),
        ("notDestinationIps", texts(&m.not_destination_ips)),
        ("destinationPorts", texts(&m.destination_ports)),
        ("notDestinationPorts", texts(&m.not_destination_ports)),
    ];
    let set = fields.into_iter().filter(|(_, values)| !values.is_empty());
    set.map(|(name, values)| (name.to_owned(), values.into())).collect::<Map<_, _>>().into()
}

fn patterns(patterns: &[StringMatch]) -> Vec<String> {
    let text = |pattern: &StringMatch| match pattern {
        StringMatch::Exact(text) => text.to_string(),
        StringMatch::Prefix(prefix) => format!("{prefix}*"),
        StringMatch::Suffix(suffix) => format!("*{suffix}"),
        StringMatch::Presence => "*".to_owned(),
    };
    patterns.iter().map(text).collect()
}

fn accounts(accounts: &[ServiceAccountMatch]) -> Vec<String> {
    accounts.iter().map(|account| format!("{}/{}", account.namespace, account.service_account)).collect()
}

fn texts(values: &[impl Display]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
