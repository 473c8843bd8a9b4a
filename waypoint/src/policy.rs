//! Policy: of requests, and of connections that are no HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_l7::{
    Condition, ConnectionView, ExternalAuthorizer, HttpAuthorization, HttpAuthorizationAction, HttpAuthorizationRule,
    HttpFacts, HttpRehearsal, Operation, Question, RequestView, Source, audits, decide, rehearse, to_ask,
};
use ambit_model::DenyReason;
use http::{HeaderMap, Method};

use crate::connection::Connection;
use crate::in_force::{Compiled, Governing, InForce};
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

/// A connection that is no HTTP, as policies see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a> {
    /// The connection.
    pub(crate) connection: &'a Connection,
    /// What is visible of it.
    pub(crate) view: ConnectionView<'a>,
    /// What was seen of its first bytes.
    pub(crate) look: Look,
}

impl Bytes<'_> {
    /// Judges it, by the rules of what was asked for and of where it is led to, once that is known.
    pub(crate) fn judge(
        &self,
        in_force: &InForce,
        destination: Option<&Destination>,
        consented: &[Arc<ExternalAuthorizer>],
    ) -> Result<(), DenyReason> {
        if !in_force.serves(&self.connection.to) {
            return Err(DenyReason::Unenrolled);
        }
        let judge_by = |governing: &Governing, consented: &[_]| {
            self.facts(governing, |facts| judge(governing.rules.for_connections(self.look), facts, consented))
        };
        in_force.governing(self.connection).iter().try_for_each(|governing| judge_by(governing, consented))?;
        // Who consented to what was asked for has not been asked about this.
        let led_to = destination.and_then(|destination| in_force.led_to(self.connection, destination));
        led_to.iter().try_for_each(|governing| judge_by(governing, &[]))
    }

    /// The external authorizers of what was asked for that are to be asked, and what their refusal comes to.
    pub(crate) fn questions(&self, in_force: &InForce) -> Vec<(Arc<ExternalAuthorizer>, DenyReason)> {
        let mut found = Vec::new();
        for governing in in_force.governing(self.connection) {
            self.facts(&governing, |facts| {
                let to_ask = to_ask(governing.rules.for_connections(self.look), facts);
                let each = to_ask.questions().iter().map(|of| (Arc::clone(of.authorizer), refused(of)));
                found.extend(each);
            });
        }
        found
    }

    /// Logs which AUDIT policies match it.
    pub(crate) fn audit(&self, in_force: &InForce) {
        for governing in in_force.governing(self.connection) {
            self.facts(&governing, |facts| {
                for found in audits(governing.rules.for_connections(self.look), facts) {
                    let (policy, rule, asked) = (found.policy, found.rule, self.connection.target);
                    let client = facts.client.identity.map(tracing::field::display);
                    tracing::info!(target: "audit", %policy, rule, client, %asked, "an AUDIT policy matches");
                }
            });
        }
    }

    /// What policies are told of it.
    fn facts<T>(&self, governing: &Governing, does: impl FnOnce(&HttpFacts<'_>) -> T) -> T {
        let (method, headers) = (Method::CONNECT, HeaderMap::new());
        let request = RequestView {
            method: &method,
            scheme: "",
            authority: "",
            path: "",
            query: None,
            headers: &headers,
            connection: self.view,
        };
        let client = &self.connection.client.view();
        does(&HttpFacts { request: &governing.seen(request), client, claims: None })
    }
}

impl Compiled {
    fn for_connections(&self, look: Look) -> &[Arc<HttpAuthorization>] {
        match look {
            Look::Tls => &self.for_tls,
            Look::Nothing => &self.for_tcp,
        }
    }
}

fn refused(question: &Question<'_>) -> DenyReason {
    DenyReason::Policy { policy: question.policy.clone(), rule: question.rule }
}

/// The proof is for requests; what opens a connection is on the list of those that are judged.
fn judge(
    policies: &[Arc<HttpAuthorization>],
    facts: &HttpFacts<'_>,
    consented: &[Arc<ExternalAuthorizer>],
) -> Result<(), DenyReason> {
    let to_ask = to_ask(policies, facts);
    if let Some(question) = to_ask.questions().iter().find(|question| !consented.contains(question.authorizer)) {
        return Err(refused(question));
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
