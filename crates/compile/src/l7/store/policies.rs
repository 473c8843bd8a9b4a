//! Policies of one service, and their providers.

use std::sync::Arc;

use ambit_l7::{ExternalAuthorizer, HttpAuthorization, ServiceRules};
use ambit_resources::ObjectId;

use super::L7Store;
use super::held::{Held, Meaning};
use super::issues::Reason;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::authorization::Policy;
use crate::l7::cx::Cx;

impl L7Store {
    /// Adds what an object says of requests and tokens, if it is a policy.
    pub(super) fn add_policy(&mut self, id: &ObjectId, rules: &mut ServiceRules) {
        match self.objects.get(id).map(|held| &held.means) {
            Some(Meaning::Tokens(tokens)) => rules.jwt.extend(tokens.rules.iter().cloned()),
            Some(Meaning::Policy(_)) => rules.authorization.extend(self.authorization(id)),
            _ => {}
        }
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
