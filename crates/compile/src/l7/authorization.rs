//! AuthorizationPolicy as a waypoint judges it: all of it.

mod condition;
mod provider;
mod rule;

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::{ExternalAuthorizer, HttpAuthorization, HttpAuthorizationAction, HttpAuthorizationRule};
use ambit_model::PolicyKey;
use ambit_resources::{Action, AuthorizationPolicy, FieldPath};

use super::L7Problem;
use super::at::At;
use super::cx::Cx;
use super::targets::{Target, targets};
use crate::Problem;
use crate::authorization::{check_provider, dry_run};
pub(crate) use provider::Authorizer;
pub(crate) use rule::{patterns, principals};

/// A policy by itself.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) targets: BTreeSet<Target>,
    policy: HttpAuthorization,
    /// Who decides in its place.
    pub(crate) provider: Option<String>,
    /// Whether it stands for a policy that was never valid.
    pub(crate) is_closed: bool,
}

impl Policy {
    /// What a policy means by itself; nothing for one that is not attached to anything, since that is for the node
    /// agents. Worth something only where there are no errors among the findings.
    pub(crate) fn prepare(written: &AuthorizationPolicy, cx: &mut Cx<'_>) -> Option<Self> {
        let spec = &written.spec;
        let targets = targets(spec.target_ref.as_ref(), &spec.target_refs, cx)?;
        if spec.selector.is_some() {
            cx.error(&At::SPEC.field("selector"), L7Problem::Exclusive { other: "targetRefs" });
        }
        check_provider(spec, &mut cx.findings);
        if spec.action == Action::Deny && spec.rules.is_empty() {
            cx.findings.warning(FieldPath::of("spec.action"), Problem::DeniesNothing);
        }
        let at = FieldPath::of("spec.rules");
        let rules = spec.rules.iter().enumerate().map(|(i, written)| rule::rule(written, &at.index(i), cx)).collect();
        let action = match spec.action {
            Action::Allow => HttpAuthorizationAction::Allow,
            // Of CUSTOM, where its provider is not known: see `in_force`.
            Action::Deny | Action::Custom => HttpAuthorizationAction::Deny,
            Action::Audit => HttpAuthorizationAction::Audit,
        };
        let dry_run = dry_run(written, &mut cx.findings);
        let policy = HttpAuthorization { key: key(cx), action, rules, dry_run };
        let provider = spec.provider.as_ref().filter(|_| spec.action == Action::Custom);
        Some(Self { targets, policy, provider: provider.map(|provider| provider.name.clone()), is_closed: false })
    }

    /// What takes the place of a policy that was never valid: nobody knows whom it would let in.
    pub(crate) fn deny_all(targets: BTreeSet<Target>, cx: &Cx<'_>) -> Self {
        let rules = vec![HttpAuthorizationRule::default()];
        let action = HttpAuthorizationAction::Deny;
        let policy = HttpAuthorization { key: key(cx), action, rules, dry_run: false };
        Self { targets, policy, provider: None, is_closed: true }
    }

    /// The policy, with its provider, where that is known. Else what it matches is denied.
    pub(crate) fn in_force(&self, authorizer: Option<Arc<ExternalAuthorizer>>) -> HttpAuthorization {
        let mut policy = self.policy.clone();
        if let Some(authorizer) = authorizer {
            policy.action = HttpAuthorizationAction::Custom(authorizer);
        }
        policy
    }
}

fn key(cx: &Cx<'_>) -> PolicyKey {
    PolicyKey { namespace: Arc::clone(cx.namespace()), name: Arc::clone(&cx.origin.id.name) }
}

#[cfg(test)]
mod tests;
