//! Whether a policy's rules match a connection.

use ambit_model::{Authorization, CidrMatch, Clause, Match, Rule, ServiceAccountMatch, StringMatch};

use crate::Facts;
use crate::principal::principal_matches;

/// Index of the first rule that matches. A policy without rules has none.
pub(crate) fn first_matching_rule(policy: &Authorization, facts: &Facts<'_>) -> Option<usize> {
    let facts = if policy.key.is_of_waypoint() { &Facts { source: facts.peer, ..*facts } } else { facts };
    policy.rules.iter().position(|rule| rule_matches(rule, facts))
}

fn rule_matches(rule: &Rule, facts: &Facts<'_>) -> bool {
    rule.clauses.iter().all(|clause| clause_matches(clause, facts))
}

fn clause_matches(clause: &Clause, facts: &Facts<'_>) -> bool {
    clause.matches.is_empty() || clause.matches.iter().any(|m| match_matches(m, facts))
}

fn match_matches(m: &Match, facts: &Facts<'_>) -> bool {
    // Destructured, so that a new field cannot be forgotten: a condition ignored is a hole.
    let Match {
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        principals,
        not_principals,
        source_ips,
        not_source_ips,
        destination_ips,
        not_destination_ips,
        destination_ports,
        not_destination_ports,
    } = m;
    let namespace = |wanted: &StringMatch| facts.source.is_some_and(|id| wanted.matches(id.namespace()));
    let service_account = |wanted: &ServiceAccountMatch| {
        facts
            .source
            .is_some_and(|id| *wanted.namespace == *id.namespace() && *wanted.service_account == *id.service_account())
    };
    let principal = |wanted: &StringMatch| facts.source.is_some_and(|id| principal_matches(wanted, id));
    let source_ip = |block: &CidrMatch| block.contains(&facts.source_ip);
    let destination_ip = |block: &CidrMatch| block.contains(&facts.destination_ip);
    let destination_port = |port: &u16| *port == facts.destination_port;

    let fields = [
        field(namespaces, not_namespaces, namespace),
        field(service_accounts, not_service_accounts, service_account),
        field(principals, not_principals, principal),
        field(source_ips, not_source_ips, source_ip),
        field(destination_ips, not_destination_ips, destination_ip),
        field(destination_ports, not_destination_ports, destination_port),
    ];
    fields.iter().any(|field| *field != Field::Unset) && !fields.contains(&Field::Misses)
}

/// What one field of a match, with its exclusion, says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Unset,
    Holds,
    Misses,
}

fn field<T>(wanted: &[T], excluded: &[T], matches: impl Fn(&T) -> bool) -> Field {
    if wanted.is_empty() && excluded.is_empty() {
        return Field::Unset;
    }
    let included = wanted.is_empty() || wanted.iter().any(&matches);
    if included && !excluded.iter().any(&matches) { Field::Holds } else { Field::Misses }
}

#[cfg(test)]
mod tests;
