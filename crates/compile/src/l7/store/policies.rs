//! Policies of one service, and their providers.

use std::sync::Arc;

use ambit_l7::{
    AttachedLimit, AuthorizerProtocol, ExternalAuthorizer, HttpAuthorization, HttpAuthorizationAction, LimitScope,
    Operation, RateLimit, ServiceRules,
};
use ambit_model::{AppProtocol, Service, ServicePort};
use ambit_resources::ObjectId;

use super::L7Store;
use super::held::{Held, Meaning};
use super::issues::Reason;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::authorization::Policy;
use crate::l7::cx::Cx;

impl L7Store {
    /// Adds what an object says of requests and tokens, if it is a policy. There is no service for what holds where
    /// none says anything.
    pub(super) fn add_policy(&mut self, id: &ObjectId, service: Option<&Service>, rules: &mut ServiceRules) {
        match self.objects.get(id).map(|held| &held.means) {
            Some(Meaning::Limits(_)) => self.add_limits(id, service, rules),
            Some(Meaning::Tokens(tokens)) => rules.jwt.extend(tokens.rules.iter().cloned()),
            Some(Meaning::Policy(_)) => {
                let policy = self.authorization(id);
                if let (Some(policy), Some(service)) = (&policy, service) {
                    self.say_of_bytes(id, policy, service);
                }
                rules.authorization.extend(policy);
            }
            _ => {}
        }
    }

    fn add_limits(&mut self, id: &ObjectId, service: Option<&Service>, rules: &mut ServiceRules) {
        let limits = self.limits(id);
        let Some(Held { origin, means: Meaning::Limits(policy), .. }) = self.objects.get(id) else { return };
        let scopes = match service {
            None => vec![LimitScope::All],
            Some(service) => {
                let (scopes, missing) = policy.attachment.scopes(service, &rules.http, &self.options);
                let mut cx = Cx::of(origin, &self.options, &mut self.expressions);
                for name in missing {
                    let target = Arc::clone(&service.key.hostname);
                    cx.warning(&At::SPEC.field("targetRefs"), L7Problem::NoSuchSection { target, name });
                }
                let issues = cx.findings.issues;
                if !issues.is_empty() {
                    self.misplaced.entry(service.key.clone()).or_default().insert(id.clone());
                }
                self.issues.for_reason(id, Reason::Service(service.key.clone()), issues);
                scopes
            }
        };
        if scopes.is_empty() {
            return;
        }
        let attached = |limit: &Arc<RateLimit>| AttachedLimit { limit: Arc::clone(limit), scopes: scopes.clone() };
        rules.limits.extend(limits.iter().map(attached));
    }

    /// A policy's limits, with the service that counts.
    fn limits(&mut self, id: &ObjectId) -> Arc<[Arc<RateLimit>]> {
        if let Some(known) = self.limits.get(id) {
            return Arc::clone(known);
        }
        let Some(Held { origin, means: Meaning::Limits(policy), .. }) = self.objects.get(id) else {
            return Arc::default();
        };
        let (made, problem) = policy.look_up(&id.namespace, &self.directory);
        let mut cx = Cx::of(origin, &self.options, &mut self.expressions);
        if let Some(problem) = problem {
            cx.warning(&At::SPEC.field("global"), problem);
        }
        let issues = cx.findings.issues;
        self.issues.for_reason(id, Reason::Provider, issues);
        self.limits.insert(id.clone(), Arc::clone(&made));
        made
    }

    /// A policy with its provider.
    fn authorization(&mut self, id: &ObjectId) -> Option<Arc<HttpAuthorization>> {
        if let Some(known) = self.authorizations.get(id) {
            return Some(Arc::clone(known));
        }
        let Held { origin, means: Meaning::Policy(policy), .. } = self.objects.get(id)? else { return None };
        let (authorizer, problem) = self.authorizer(policy);
        let mut cx = Cx::of(origin, &self.options, &mut self.expressions);
        if let Some(problem) = problem {
            cx.warning(&At::SPEC.field("provider"), problem);
        }
        let made = Arc::new(policy.in_force(authorizer.map(Arc::new)));
        let issues = cx.findings.issues;
        let names = policy.provider.as_ref().and_then(|name| self.mesh.authorizers.get(name));
        for name in names.iter().flat_map(|authorizer| &authorizer.names) {
            self.index.looked_up.change(name, id, true);
        }
        self.issues.for_reason(id, Reason::Provider, issues);
        self.authorizations.insert(id.clone(), Arc::clone(&made));
        Some(made)
    }

    /// Says where a policy denies connections that are no HTTP, since whom it would ask can be asked about requests only.
    fn say_of_bytes(&mut self, id: &ObjectId, policy: &HttpAuthorization, service: &Service) {
        let HttpAuthorizationAction::Custom(authorizer) = &policy.action else { return };
        if policy.dry_run || !matches!(authorizer.protocol, AuthorizerProtocol::Http(_)) {
            return;
        }
        let may_be_bytes = |port: &&ServicePort| {
            matches!(port.app_protocol, AppProtocol::Tcp | AppProtocol::Tls | AppProtocol::Unknown)
        };
        let is_about = |port: u16, operation: &Operation| {
            (operation.ports.is_empty() || operation.ports.contains(&port)) && !operation.not_ports.contains(&port)
        };
        let asks = |port: &&ServicePort| {
            let mut rules = policy.rules.iter();
            rules.any(|rule| rule.to.is_empty() || rule.to.iter().any(|operation| is_about(port.port, operation)))
        };
        let ports: Vec<_> = service.ports.iter().filter(may_be_bytes).filter(asks).map(|port| port.port).collect();
        let Some(Held { origin, .. }) = self.objects.get(id).filter(|_| !ports.is_empty()) else { return };
        let mut cx = Cx::of(origin, &self.options, &mut self.expressions);
        let host = Arc::clone(&service.key.hostname);
        cx.warning(&At::SPEC.field("provider"), L7Problem::DeniesBytes { host, ports });
        let issues = cx.findings.issues;
        self.misplaced.entry(service.key.clone()).or_default().insert(id.clone());
        self.issues.for_reason(id, Reason::Service(service.key.clone()), issues);
    }

    fn authorizer(&self, policy: &Policy) -> (Option<ExternalAuthorizer>, Option<L7Problem>) {
        let Some(name) = &policy.provider else { return (None, None) };
        match self.mesh.authorizers.get(name) {
            Some(authorizer) => {
                let (found, problem) = authorizer.look_up(&self.directory);
                (Some(found), problem)
            }
            None => (None, Some(L7Problem::UnknownProvider { name: name.clone() })),
        }
    }
}
