//! What would be in force, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;

use ambit_model::{Action, Authorization, Scope, TunnelProtocol, Workload, WorkloadUid};
use serde_json::{Value, json};

use crate::Compiled;

/// What would be in force. Displays as a text for people.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(&'a Compiled);

impl<'a> Summary<'a> {
    /// Of what was compiled.
    #[must_use]
    pub fn of(compiled: &'a Compiled) -> Self {
        Self(compiled)
    }

    /// The same for scripts.
    #[must_use]
    pub fn to_json(self) -> Value {
        let Compiled { workloads, services, authorizations, netns: _, issues } = self.0;
        json!({
            "workloads": workloads.iter().map(|w| json!({
                "uid": w.uid.as_str(),
                "node": *w.node,
                "identity": w.identity.to_string(),
                "addresses": w.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "enrolled": is_enrolled(w),
                "healthy": w.healthy,
                "services": w.services.keys().map(|key| key.hostname.to_string()).collect::<Vec<_>>(),
                "policies": w.authorization_policies.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "waypoint": w.waypoint.as_ref().map(ToString::to_string),
            })).collect::<Vec<_>>(),
            "services": services.iter().map(|s| json!({
                "hostname": *s.key.hostname,
                "addresses": s.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "ports": s.ports.iter().map(|port| port.port).collect::<Vec<_>>(),
                "endpoints": self.endpoints(s),
                "waypoint": s.waypoint.as_ref().map(ToString::to_string),
                "canary": s.canary.as_ref().map(|it| json!({ "waypoint": it.waypoint.to_string(), "percent": it.percent })),
            })).collect::<Vec<_>>(),
            "policies": authorizations.iter().map(|a| json!({
                "name": a.key.to_string(),
                "action": action(a),
                "scope": scope(a),
                "rules": a.rules.len(),
                "dryRun": a.dry_run,
            })).collect::<Vec<_>>(),
            "enrolled": self.enrolled().into_iter().map(|(node, pods)| {
                (node.to_owned(), pods.into_iter().map(WorkloadUid::as_str).collect::<Value>())
            }).collect::<serde_json::Map<_, _>>(),
            "issues": issues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    /// By node.
    fn enrolled(self) -> BTreeMap<&'a str, Vec<&'a WorkloadUid>> {
        let mut nodes = BTreeMap::<_, Vec<_>>::new();
        self.0.enrolled().for_each(|workload| nodes.entry(&*workload.node).or_default().push(&workload.uid));
        nodes
    }

    fn endpoints(self, service: &ambit_model::Service) -> usize {
        self.0.workloads.iter().filter(|workload| workload.services.contains_key(&service.key)).count()
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiled { workloads, services, authorizations, netns: _, issues: _ } = self.0;
        let enrolled = workloads.iter().filter(|workload| is_enrolled(workload)).count();
        writeln!(f, "workloads: {}, of which enrolled: {enrolled}", workloads.len())?;
        for (node, pods) in self.enrolled() {
            writeln!(f, "  node {node}:")?;
            for uid in pods {
                writeln!(f, "    {uid}")?;
            }
        }
        writeln!(f, "services: {}", services.len())?;
        for service in services {
            writeln!(f, "  {}: endpoints {}", service.key.hostname, self.endpoints(service))?;
        }
        writeln!(f, "policies: {}", authorizations.len())?;
        for policy in authorizations {
            let dry_run = if policy.dry_run { ", dry run" } else { "" };
            let (action, scope, rules) = (action(policy), scope(policy), policy.rules.len());
            writeln!(f, "  {}: {action} {scope}, rules {rules}{dry_run}", policy.key)?;
        }
        Ok(())
    }
}

fn is_enrolled(workload: &Workload) -> bool {
    workload.tunnel_protocol == TunnelProtocol::Hbone && !workload.native_tunnel
}

fn action(policy: &Authorization) -> &'static str {
    match policy.action {
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
    }
}

fn scope(policy: &Authorization) -> &'static str {
    match policy.scope {
        Scope::Global => "mesh",
        Scope::Namespace => "namespace",
        Scope::WorkloadSelector => "selected workloads",
    }
}

#[cfg(test)]
mod tests;
