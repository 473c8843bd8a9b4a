//! Policies. Whatever stands in one is represented, or the policy is refused.

use std::sync::Arc;

use ambit_model::{
    Action, Authorization, CidrMatch, Clause, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};

use super::values::{block, known, port, required};
use super::{Decoder, Fault};
use crate::proto::security as message;
use crate::proto::security::string_match::MatchType;

impl Decoder {
    pub(super) fn policy(&mut self, it: message::Authorization) -> Result<Authorization, Fault> {
        none("extensions", &it.extensions)?;
        Ok(Authorization {
            key: PolicyKey {
                namespace: self.texts.share(required("namespace", it.namespace)?.as_str()),
                name: required("name", it.name)?.into(),
            },
            scope: match known("scope", it.scope)? {
                message::Scope::Global => Scope::Global,
                message::Scope::Namespace => Scope::Namespace,
                message::Scope::WorkloadSelector => Scope::WorkloadSelector,
            },
            action: match known("action", it.action)? {
                message::Action::Allow => Action::Allow,
                message::Action::Deny => Action::Deny,
            },
            rules: it.rules.iter().map(rule).collect::<Result<_, _>>()?,
            dry_run: it.dry_run,
        })
    }
}

fn rule(it: &message::Rule) -> Result<Rule, Fault> {
    Ok(Rule { clauses: it.clauses.iter().map(clause).collect::<Result<_, _>>()? })
}

fn clause(it: &message::Clause) -> Result<Clause, Fault> {
    Ok(Clause { matches: it.matches.iter().map(conditions).collect::<Result<_, _>>()? })
}

fn conditions(it: &message::Match) -> Result<Match, Fault> {
    none("match.extensions", &it.extensions)?;
    Ok(Match {
        namespaces: texts("namespaces", &it.namespaces)?,
        not_namespaces: texts("not_namespaces", &it.not_namespaces)?,
        service_accounts: accounts(&it.service_accounts),
        not_service_accounts: accounts(&it.not_service_accounts),
        principals: texts("principals", &it.principals)?,
        not_principals: texts("not_principals", &it.not_principals)?,
        source_ips: blocks("source_ips", &it.source_ips)?,
        not_source_ips: blocks("not_source_ips", &it.not_source_ips)?,
        destination_ips: blocks("destination_ips", &it.destination_ips)?,
        not_destination_ips: blocks("not_destination_ips", &it.not_destination_ips)?,
        destination_ports: ports("destination_ports", &it.destination_ports)?,
        not_destination_ports: ports("not_destination_ports", &it.not_destination_ports)?,
    })
}

fn none(field: &'static str, extensions: &[message::Extension]) -> Result<(), Fault> {
    if extensions.is_empty() { Ok(()) } else { Err(Fault::Unsupported { field }) }
}

fn texts(field: &'static str, all: &[message::StringMatch]) -> Result<Vec<StringMatch>, Fault> {
    let text = |it: &message::StringMatch| match it.match_type.as_ref() {
        Some(MatchType::Exact(text)) => Ok(StringMatch::Exact(shared(text))),
        Some(MatchType::Prefix(text)) => Ok(StringMatch::Prefix(shared(text))),
        Some(MatchType::Suffix(text)) => Ok(StringMatch::Suffix(shared(text))),
        Some(MatchType::Presence(())) => Ok(StringMatch::Presence),
        None => Err(Fault::Missing { field }),
    };
    all.iter().map(text).collect()
}

fn shared(text: &str) -> Arc<str> {
    text.into()
}

fn blocks(field: &'static str, all: &[message::Address]) -> Result<Vec<CidrMatch>, Fault> {
    all.iter().map(|it| block(field, &it.address, it.length)).collect()
}

fn ports(field: &'static str, all: &[u32]) -> Result<Vec<u16>, Fault> {
    all.iter().map(|it| port(field, *it)).collect()
}

fn accounts(all: &[message::ServiceAccountMatch]) -> Vec<ServiceAccountMatch> {
    let account = |it: &message::ServiceAccountMatch| ServiceAccountMatch {
        namespace: shared(&it.namespace),
        service_account: shared(&it.service_account),
    };
    all.iter().map(account).collect()
}
