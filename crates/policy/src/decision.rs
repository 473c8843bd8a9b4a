//! From matches to a decision: any DENY that matches denies; else no ALLOW policy allows; else any
//! ALLOW that matches allows; else deny.

use ambit_model::{Action, Authorization, DenyReason, PolicyKey};

use crate::Facts;
use crate::matching::first_matching_rule;

/// What the policies say. Refusal is an answer, not an error.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// The connection may go on, with this as its proof.
    Allow(Permit),
    /// It may not.
    Deny(DenyReason),
}

impl Decision {
    /// The permit, or why there is none.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn permit(self) -> Result<Permit, DenyReason> {
        match self {
            Self::Allow(permit) => Ok(permit),
            Self::Deny(reason) => Err(reason),
        }
    }
}

/// Proof that [`decide`] allowed one connection. Only this crate makes it, and it cannot be copied:
/// the step that opens the upstream takes it by value, so no connection is opened unjudged.
#[derive(Debug)]
#[must_use]
pub struct Permit(());

/// What the decision would be if the dry-run policies were enforced together with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsal {
    /// The connection would be allowed.
    Allow,
    /// The connection would be denied.
    Deny(DenyReason),
}

/// Judges a connection by the policies that apply to its destination, in the order in which a refusal
/// should name them. Dry-run policies have no say: see [`rehearse`].
pub fn decide<'a>(policies: impl IntoIterator<Item = &'a Authorization>, facts: &Facts<'_>) -> Decision {
    match refusal(policies.into_iter().filter(|policy| !policy.dry_run), facts) {
        None => Decision::Allow(Permit(())),
        Some(reason) => Decision::Deny(reason),
    }
}

/// Judges as if dry-run policies were enforced; `None` where none applies. It grants no [`Permit`]:
/// the answer is for the log. Apart from [`decide`], because open connections are judged again at
/// every change of policy and their rehearsal is logged only once.
#[must_use]
pub fn rehearse<'a, P>(policies: P, facts: &Facts<'_>) -> Option<Rehearsal>
where
    P: IntoIterator<Item = &'a Authorization, IntoIter: Clone>,
{
    let policies = policies.into_iter();
    if !policies.clone().any(|policy| policy.dry_run) {
        return None;
    }
    Some(refusal(policies, facts).map_or(Rehearsal::Allow, Rehearsal::Deny))
}

fn refusal<'a>(policies: impl Iterator<Item = &'a Authorization>, facts: &Facts<'_>) -> Option<DenyReason> {
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
        }
    }
    if allowed {
        return None;
    }
    first_allow.map(|first| DenyReason::NoAllowMatch { count, first: first.clone() })
}

#[cfg(test)]
mod tests;
