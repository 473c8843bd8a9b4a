//! Policy: of requests, and of connections that are no HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_l7::{
    Condition, ConnectionView, ExternalAuthorizer, HttpAuthorization, HttpAuthorizationAction, HttpAuthorizationRule,
    HttpFacts, HttpRehearsal, Operation, RequestView, Source, decide, rehearse, to_ask,
};
use ambit_model::DenyReason;
use http::{HeaderMap, Method};

use crate::connection::Connection;
use crate::in_force::{Compiled, InForce};
use crate::worker::Worker;

/// How often a worker logs what dry-run policies would have denied.
const LOG_DRY_RUN_EVERY: Duration = Duration::from_secs(1);

/// Judges a request that has become a stream of bytes again. Who consented to it is not asked again; who must be asked
/// now and was not has not consented.
pub(crate) fn judge_again(
    rules: &Compiled,
    facts: &HttpFacts<'_>,
    consented: &[Arc<ExternalAuthorizer>],
) -> Result<(), DenyReason> {
    judge(&rules.rules.authorization, facts, consented)
}

/// Judges a connection that is no HTTP.
pub(crate) fn judge_connection(
    in_force: &InForce,
    connection: &Connection,
    view: &ConnectionView<'_>,
) -> Result<(), DenyReason> {
    let (method, headers) = (Method::CONNECT, HeaderMap::new());
    let request = RequestView {
        method: &method,
        scheme: "",
        authority: "",
        path: "",
        query: None,
        headers: &headers,
        connection: *view,
    };
    let policies = &in_force.rules(connection.to.service()).for_connections;
    let client = &connection.client.view();
    judge(policies, &HttpFacts { request: &request, client, claims: None }, &[])
}

/// The proof is for requests; what opens a connection is on the list of those that are judged.
fn judge(
    policies: &[Arc<HttpAuthorization>],
    facts: &HttpFacts<'_>,
    consented: &[Arc<ExternalAuthorizer>],
) -> Result<(), DenyReason> {
    let to_ask = to_ask(policies, facts);
    if let Some(question) = to_ask.questions().iter().find(|question| !consented.contains(question.authorizer)) {
        return Err(DenyReason::Policy { policy: question.policy.clone(), rule: question.rule });
    }
    decide(policies, facts, to_ask.all_consented()).permit().map(drop)
}

/// Counts what dry-run policies would have denied, and logs it: all requests may be of that kind, so one line a
/// second.
pub(crate) fn rehearse_request(worker: &Worker, rules: &Compiled, facts: &HttpFacts<'_>) {
    let Some(HttpRehearsal::Deny(reason)) = rehearse(&rules.rules.authorization, facts) else { return };
    worker.metrics.dry_run_denials.inc();
    let now = Instant::now();
    if worker.dry_run_logged.get().is_none_or(|last| now.duration_since(last) >= LOG_DRY_RUN_EVERY) {
        worker.dry_run_logged.set(Some(now));
        tracing::info!(target: "policy", path = facts.request.path, %reason, "dry run: would be denied");
    }
}

/// What policies say to connections of which only addresses and identities are known. A rule that allows by what
/// is not there allows nothing; of one that denies, that part is left out, so that it denies more and never less.
pub(crate) fn for_connections(policies: &[Arc<HttpAuthorization>]) -> Vec<Arc<HttpAuthorization>> {
    let reduced = |policy: &Arc<HttpAuthorization>| {
        let allows = policy.action == HttpAuthorizationAction::Allow;
        if !policy.rules.iter().any(asks_for_http) {
            return Arc::clone(policy);
        }
        let rules = policy.rules.iter().filter(|rule| !allows || !asks_for_http(rule)).map(without_http).collect();
        Arc::new(HttpAuthorization { rules, ..(**policy).clone() })
    };
    policies.iter().map(reduced).collect()
}

fn asks_for_http(rule: &HttpAuthorizationRule) -> bool {
    *rule != without_http(rule)
}

fn without_http(rule: &HttpAuthorizationRule) -> HttpAuthorizationRule {
    let source = |source: &Source| Source {
        request_principals: Vec::new(),
        not_request_principals: Vec::new(),
        ..source.clone()
    };
    let operation = |operation: &Operation| Operation {
        ports: operation.ports.clone(),
        not_ports: operation.not_ports.clone(),
        ..Operation::default()
    };
    HttpAuthorizationRule {
        from: rule.from.iter().map(source).collect(),
        to: rule.to.iter().map(operation).collect(),
        when: rule.when.iter().filter(|condition| !is_http(condition)).cloned().collect(),
    }
}

fn is_http(condition: &Condition) -> bool {
    match condition {
        Condition::Header { .. }
        | Condition::RequestPrincipal { .. }
        | Condition::Audiences { .. }
        | Condition::Presenter { .. }
        | Condition::Claim { .. } => true,
        Condition::SourceIp { .. }
        | Condition::RemoteIp { .. }
        | Condition::SourceNamespace { .. }
        | Condition::SourcePrincipal { .. }
        | Condition::SourceServiceAccount { .. }
        | Condition::DestinationIp { .. }
        | Condition::DestinationPort { .. }
        | Condition::ServerName { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use ambit_l7::Pattern;
    use ambit_model::PolicyKey;

    use super::*;

    fn policy(action: HttpAuthorizationAction) -> Arc<HttpAuthorization> {
        let get = Operation { methods: vec![Pattern::Exact("GET".into())], ports: vec![80], ..Operation::default() };
        let by_method = HttpAuthorizationRule { to: vec![get], ..HttpAuthorizationRule::default() };
        let key = PolicyKey { namespace: "shop".into(), name: "p".into() };
        Arc::new(HttpAuthorization { key, action, rules: vec![by_method], dry_run: false })
    }

    #[test]
    fn what_is_unknown_of_a_connection_allows_nothing_and_excuses_nothing() {
        use HttpAuthorizationAction::{Allow, Deny};
        assert!(for_connections(&[policy(Allow)])[0].rules.is_empty());
        let deny = for_connections(&[policy(Deny)]);
        assert_eq!(deny[0].rules[0].to, [Operation { ports: vec![80], ..Operation::default() }]);
    }
}
