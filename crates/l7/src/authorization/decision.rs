//! From matches to a decision, in the field's order: external authorizers first; then any DENY that matches denies;
//! else, where there are ALLOW policies, one of them must match.

use std::sync::Arc;

use ambit_model::{DenyReason, PolicyKey};

use super::matching::first_matching_rule;
use super::{ExternalAuthorizer, HttpAuthorization, HttpAuthorizationAction as Action, HttpFacts};

/// The external authorizers a request must be put to before anything else is decided.
#[derive(Debug)]
#[must_use]
pub struct ToAsk<'p> {
    questions: Vec<Question<'p>>,
}

/// An external authorizer to be asked, and the policy that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'p> {
    /// The first policy that names it.
    pub policy: &'p PolicyKey,
    /// Index of that policy's first rule that matches.
    pub rule: usize,
    /// Who is asked.
    pub authorizer: &'p Arc<ExternalAuthorizer>,
}

/// The word of whoever asked them that all external authorizers consented to one request.
#[derive(Debug)]
#[must_use]
pub struct Consented(());

/// What the policies say to a request. Refusal is an answer, not an error.
#[derive(Debug)]
#[must_use]
pub enum HttpDecision {
    /// It may go on, with this as its proof.
    Allow(HttpPermit),
    /// It may not.
    Deny(DenyReason),
}

/// Proof that [`decide`] allowed one request. Only this crate makes it, and it cannot be copied: what sends a request
/// on takes it by value, so that none goes on unjudged.
#[derive(Debug)]
#[must_use]
pub struct HttpPermit(());

/// What the decision would be if the dry-run policies were enforced together with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpRehearsal {
    /// The request would be allowed.
    Allow,
    /// The request would be denied.
    Deny(DenyReason),
}

/// A policy that matches a request, and its first rule that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyMatch<'p> {
    /// The policy.
    pub policy: &'p PolicyKey,
    /// Index of the rule.
    pub rule: usize,
}

/// The external authorizers to be asked about a request, each once, in the order of policies.
pub fn to_ask<'p>(policies: &'p [Arc<HttpAuthorization>], facts: &HttpFacts<'_>) -> ToAsk<'p> {
    let mut questions: Vec<Question<'p>> = Vec::new();
    for policy in policies.iter().filter(|policy| !policy.dry_run) {
        let Action::Custom(authorizer) = &policy.action else { continue };
        if questions.iter().any(|question| question.authorizer == authorizer) {
            continue;
        }
        if let Some(rule) = first_matching_rule(policy, facts) {
            questions.push(Question { policy: &policy.key, rule, authorizer });
        }
    }
    ToAsk { questions }
}

impl<'p> ToAsk<'p> {
    /// Whom to ask; often nobody.
    #[must_use]
    pub fn questions(&self) -> &[Question<'p>] {
        &self.questions
    }

    /// Says that each of them consented, or failed open. To be called only when that is so.
    pub fn all_consented(self) -> Consented {
        Consented(())
    }
}

impl HttpDecision {
    /// The permit, or why there is none.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn permit(self) -> Result<HttpPermit, DenyReason> {
        match self {
            Self::Allow(permit) => Ok(permit),
            Self::Deny(reason) => Err(reason),
        }
    }
}

/// Judges a request by the policies in force for it, in the order in which a refusal should name them. Its headers
/// are those the external authorizers left. Dry-run policies have no say: see [`rehearse`].
pub fn decide(policies: &[Arc<HttpAuthorization>], facts: &HttpFacts<'_>, _: Consented) -> HttpDecision {
    match refusal(policies.iter().filter(|policy| !policy.dry_run), facts) {
        None => HttpDecision::Allow(HttpPermit(())),
        Some(reason) => HttpDecision::Deny(reason),
    }
}

/// The AUDIT policies that match a request, for its log line.
pub fn audits<'p>(
    policies: &'p [Arc<HttpAuthorization>],
    facts: &HttpFacts<'_>,
) -> impl Iterator<Item = PolicyMatch<'p>> {
    let audits = policies.iter().filter(|policy| !policy.dry_run && policy.action == Action::Audit);
    audits.filter_map(|policy| Some(PolicyMatch { policy: &policy.key, rule: first_matching_rule(policy, facts)? }))
}

/// Judges as if dry-run policies were enforced; `None` where none applies. External authorizers are not asked. It
/// grants no [`HttpPermit`]: the answer is for the log.
#[must_use]
pub fn rehearse(policies: &[Arc<HttpAuthorization>], facts: &HttpFacts<'_>) -> Option<HttpRehearsal> {
    let decides = |policy: &&Arc<HttpAuthorization>| matches!(policy.action, Action::Allow | Action::Deny);
    if !policies.iter().filter(decides).any(|policy| policy.dry_run) {
        return None;
    }
    Some(refusal(policies.iter(), facts).map_or(HttpRehearsal::Allow, HttpRehearsal::Deny))
}

fn refusal<'p>(
    policies: impl Iterator<Item = &'p Arc<HttpAuthorization>>,
    facts: &HttpFacts<'_>,
) -> Option<DenyReason> {
    let mut first_allow: Option<&PolicyKey> = None;
    let mut count = 0;
    let mut allowed = false;
    for policy in policies {
        match policy.action {
            Action::Deny => {
                if let Some(rule) = first_matching_rule(policy, facts) {
                    return Some(DenyReason::Policy { policy: policy.key.clone(), rule });
                }
            }
            Action::Allow => {
                count += 1;
                first_allow = Some(first_allow.map_or(&policy.key, |first| first.min(&policy.key)));
                // No early return: a DENY policy may follow.
                allowed = allowed || first_matching_rule(policy, facts).is_some();
            }
            Action::Audit | Action::Custom(_) => {}
        }
    }
    if allowed {
        return None;
    }
    first_allow.map(|first| DenyReason::NoAllowMatch { count, first: first.clone() })
}
