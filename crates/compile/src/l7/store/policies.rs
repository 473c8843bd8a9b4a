//! Policies of one service, and their providers.

use std::sync::Arc;

use ambit_l7::{AttachedLimit, ExternalAuthorizer, HttpAuthorization, LimitScope, RateLimit, ServiceRules};
use ambit_model::Service;
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
            Some(Meaning::Policy(_)) => rules.authorization.extend(self.authorization(id)),
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
