//! Policies.

use ambit_model::{Action, Authorization, CidrMatch, Clause, Match, Rule, Scope, ServiceAccountMatch, StringMatch};

use super::ip;
use crate::proto::security as message;
use crate::proto::security::string_match::MatchType;

/// An L4 policy.
#[must_use]
pub fn authorization(it: &Authorization) -> message::Authorization {
    let scope = match it.scope {
        Scope::Global => message::Scope::Global,
        Scope::Namespace => message::Scope::Namespace,
        Scope::WorkloadSelector => message::Scope::WorkloadSelector,
    };
    let action = match it.action {
        Action::Allow => message::Action::Allow,
        Action::Deny => message::Action::Deny,
    };
    message::Authorization {
        name: it.key.name.to_string(),
        namespace: it.key.namespace.to_string(),
        scope: scope.into(),
        action: action.into(),
        rules: it.rules.iter().map(rule).collect(),
        dry_run: it.dry_run,
        extensions: Vec::new(),
    }
}

fn rule(it: &Rule) -> message::Rule {
    message::Rule { clauses: it.clauses.iter().map(clause).collect() }
}

fn clause(it: &Clause) -> message::Clause {
    message::Clause { matches: it.matches.iter().map(conditions).collect() }
}

fn conditions(it: &Match) -> message::Match {
    message::Match {
        namespaces: texts(&it.namespaces),
        not_namespaces: texts(&it.not_namespaces),
        principals: texts(&it.principals),
        not_principals: texts(&it.not_principals),
        source_ips: blocks(&it.source_ips),
        not_source_ips: blocks(&it.not_source_ips),
        destination_ips: blocks(&it.destination_ips),
        not_destination_ips: blocks(&it.not_destination_ips),
        destination_ports: it.destination_ports.iter().copied().map(u32::from).collect(),
        not_destination_ports: it.not_destination_ports.iter().copied().map(u32::from).collect(),
        service_accounts: accounts(&it.service_accounts),
        not_service_accounts: accounts(&it.not_service_accounts),
        extensions: Vec::new(),
    }
}

fn texts(all: &[StringMatch]) -> Vec<message::StringMatch> {
    let text = |it: &StringMatch| match it {
        StringMatch::Exact(text) => MatchType::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchType::Prefix(text.to_string()),
        StringMatch::Suffix(text) => MatchType::Suffix(text.to_string()),
        StringMatch::Presence => MatchType::Presence(()),
    };
    all.iter().map(|it| message::StringMatch { match_type: Some(text(it)) }).collect()
}

fn blocks(all: &[CidrMatch]) -> Vec<message::Address> {
    all.iter().map(|it| message::Address { address: ip(it.addr()), length: it.prefix_len().into() }).collect()
}

fn accounts(all: &[ServiceAccountMatch]) -> Vec<message::ServiceAccountMatch> {
    let account = |it: &ServiceAccountMatch| message::ServiceAccountMatch {
        namespace: it.namespace.to_string(),
        service_account: it.service_account.to_string(),
    };
    all.iter().map(account).collect()
}
