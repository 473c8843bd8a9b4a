//! Policy: of requests, and of connections that are no HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_l7::{
    Condition, ConnectionView, ExternalAuthorizer, HttpAuthorization, HttpAuthorizationAction, HttpAuthorizationRule,
    HttpFacts, HttpRehearsal, Operation, RequestView, Source, audits, decide, rehearse, to_ask,
};
use ambit_model::DenyReason;
use http::{HeaderMap, Method};

use crate::connection::Connection;
use crate::in_force::{Compiled, InForce};
use crate::plan::Destination;
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

/// What was seen of a connection that is no HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// TLS: its server name is known, or known to be none.
    Tls,
    /// Nothing: there may be TLS in it all the same.
    Nothing,
}

/// Judges a connection that is no HTTP, by the rules of what was asked for and of where it is led to, once that is
/// known.
pub(crate) fn judge_connection(
    in_force: &InForce,
    connection: &Connection,
    destination: Option<&Destination>,
    (view, look): (&ConnectionView<'_>, Look),
) -> Result<(), DenyReason> {
    if !in_force.serves(&connection.to) {
        return Err(DenyReason::Unenrolled);
    }
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
    let client = &connection.client.view();
    let mut governing = in_force.governing(connection);
    governing.extend(destination.and_then(|destination| in_force.led_to(connection, destination)));
    governing.iter().try_for_each(|governing| {
        let policies = match look {
            Look::Tls => &governing.rules.for_tls,
            Look::Nothing => &governing.rules.for_tcp,
        };
        judge(policies, &HttpFacts { request: &governing.seen(request), client, claims: None }, &[])
    })
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

/// Logs which AUDIT policies match a request. Whoever writes one wants to see each match, as in the access log.
pub(crate) fn audit_request(rules: &Compiled, facts: &HttpFacts<'_>) {
    for found in audits(&rules.rules.authorization, facts) {
        let (policy, rule) = (found.policy, found.rule);
        let (client, method, path) = (facts.client.identity, facts.request.method, facts.request.path);
        let client = client.map(tracing::field::display);
        tracing::info!(target: "audit", %policy, rule, client, %method, path, "an AUDIT policy matches");
    }
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
pub(crate) fn for_connections(policies: &[Arc<HttpAuthorization>], look: Look) -> Vec<Arc<HttpAuthorization>> {
    let reduced = |policy: &Arc<HttpAuthorization>| {
        let allows = policy.action == HttpAuthorizationAction::Allow;
        let asks_for_more = |rule: &HttpAuthorizationRule| *rule != known_part(rule, look);
        if !policy.rules.iter().any(asks_for_more) {
            return Arc::clone(policy);
        }
        let rules = policy.rules.iter().filter(|rule| !allows || !asks_for_more(rule));
        let rules = rules.map(|rule| known_part(rule, look)).collect();
        Arc::new(HttpAuthorization { rules, ..(**policy).clone() })
    };
    policies.iter().map(reduced).collect()
}

/// A rule without what it asks of things nobody has seen.
fn known_part(rule: &HttpAuthorizationRule, look: Look) -> HttpAuthorizationRule {
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
        when: rule.when.iter().filter(|condition| is_known(condition, look)).cloned().collect(),
    }
}

fn is_known(condition: &Condition, look: Look) -> bool {
    match condition {
        Condition::Header { .. }
        | Condition::RequestPrincipal { .. }
        | Condition::Audiences { .. }
        | Condition::Presenter { .. }
        | Condition::Claim { .. } => false,
        Condition::ServerName { .. } => look == Look::Tls,
        Condition::SourceIp { .. }
        | Condition::RemoteIp { .. }
        | Condition::SourceNamespace { .. }
        | Condition::SourcePrincipal { .. }
        | Condition::SourceServiceAccount { .. }
        | Condition::DestinationIp { .. }
        | Condition::DestinationPort { .. } => true,
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
        assert!(for_connections(&[policy(Allow)], Look::Tls)[0].rules.is_empty());
        let deny = for_connections(&[policy(Deny)], Look::Tls);
        assert_eq!(deny[0].rules[0].to, [Operation { ports: vec![80], ..Operation::default() }]);
    }

    #[test]
    fn a_server_name_that_was_not_seen_excuses_nothing() {
        use HttpAuthorizationAction::{Allow, Deny};
        let name = Condition::ServerName { values: Vec::new(), not_values: vec![Pattern::Exact("good".into())] };
        let rule = HttpAuthorizationRule { when: vec![name], ..HttpAuthorizationRule::default() };
        let policy = |action| Arc::new(HttpAuthorization { rules: vec![rule.clone()], ..(*policy(action)).clone() });
        for (action, look, expected) in [
            (Deny, Look::Nothing, vec![HttpAuthorizationRule::default()]),
            (Deny, Look::Tls, vec![rule.clone()]),
            (Allow, Look::Nothing, vec![]),
            (Allow, Look::Tls, vec![rule.clone()]),
        ] {
            let shown = format!("{action:?} {look:?}");
            assert_eq!(for_connections(&[policy(action)], look)[0].rules, expected, "{shown}");
        }
    }
}
