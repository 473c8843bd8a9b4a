//! AuthorizationPolicy as a node agent enforces it: by what is visible in a TCP connection alone.
//!
//! What is not visible there is never guessed: an ALLOW rule that needs it allows nothing, a DENY
//! rule denies as if it were not said. So an ALLOW is never wider than written and a DENY never
//! narrower, and each such place is pointed out.

mod condition;
mod rule;
pub(crate) mod source;
pub(crate) mod values;

use std::sync::Arc;

use ambit_model::{Action, Authorization, PolicyKey, Scope};
use ambit_resources::{self as resources, AuthorizationPolicy, FieldPath, Metadata, ObjectId, WorkloadSelector};

use crate::Problem;
use crate::findings::Findings;
use crate::labels::{Labels, Selector};
use crate::shared::Shared;
use rule::Policy;

const DRY_RUN: &str = "istio.io/dry-run";

/// A policy, and the pods that list it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) authorization: Arc<Authorization>,
    /// None for one that is in force for all pods of its scope, and listed by none.
    selector: Labels,
    /// Whether it may select pods of any namespace.
    anywhere: bool,
}

impl Selected {
    pub(crate) fn selector(&self) -> Selector {
        let namespace = (!self.anywhere).then(|| Arc::clone(&self.authorization.key.namespace));
        Selector { namespace, labels: self.selector.clone() }
    }
}

/// A policy as the node agents enforce it; nothing for what is not theirs. Depends on the policy
/// alone. The result is worth something only where there are no errors among the findings.
pub(crate) fn prepare(
    id: &ObjectId,
    policy: &AuthorizationPolicy,
    shared: &mut Shared,
    findings: &mut Findings<'_>,
) -> Option<Selected> {
    let spec = &policy.spec;
    check_provider(spec, findings);
    check_selector(spec.selector.as_ref(), findings);
    let action = if is_for_waypoint(spec, findings) { None } else { action(spec, findings) };
    let compiler = Policy { action, namespace: &id.namespace };
    let at = FieldPath::of("spec.rules");
    let rules = spec.rules.iter().enumerate();
    let rules = rules.filter_map(|(i, rule)| compiler.rule(rule, &at.index(i), findings)).collect();
    let dry_run = dry_run(policy, findings);
    let selector = spec.selector.as_ref().map(|selector| Labels::of(&selector.match_labels, &mut shared.texts));
    let selector = selector.unwrap_or_default();
    let anywhere = id.namespace == shared.options.root_namespace;
    let scope = match (selector.is_empty(), anywhere) {
        (false, _) => Scope::WorkloadSelector,
        (true, true) => Scope::Global,
        (true, false) => Scope::Namespace,
    };
    let key = PolicyKey { namespace: shared.texts.share(&*id.namespace), name: id.name.clone() };
    let authorization = Arc::new(Authorization { key, scope, action: action?, rules, dry_run });
    Some(Selected { authorization, selector, anywhere })
}

/// What a match of the policy means; nothing where it means nothing to a node agent.
fn action(spec: &resources::AuthorizationPolicySpec, findings: &mut Findings<'_>) -> Option<Action> {
    let at = FieldPath::of("spec.action");
    match spec.action {
        resources::Action::Allow => return Some(Action::Allow),
        resources::Action::Deny if spec.rules.is_empty() => findings.warning(at, Problem::DeniesNothing),
        resources::Action::Deny => {}
        // What nobody can be asked about must not pass.
        resources::Action::Custom => findings.warning(at, Problem::CustomDenies),
        resources::Action::Audit => {
            findings.warning(at, Problem::AuditIgnored);
            return None;
        }
    }
    Some(Action::Deny)
}

pub(crate) fn check_provider(spec: &resources::AuthorizationPolicySpec, findings: &mut Findings<'_>) {
    let problem = match (spec.action == resources::Action::Custom, &spec.provider) {
        (true, Some(_)) | (false, None) => return,
        (true, None) => Problem::RequiredWith { other: "action CUSTOM" },
        (false, Some(_)) => Problem::Exclusive { other: "an action other than CUSTOM" },
    };
    findings.error(FieldPath::of("spec.provider"), problem);
}

/// Whether the policy is attached to a waypoint or to what a waypoint serves.
fn is_for_waypoint(spec: &resources::AuthorizationPolicySpec, findings: &mut Findings<'_>) -> bool {
    let field = if spec.target_ref.is_some() { "spec.targetRef" } else { "spec.targetRefs" };
    let attached = spec.target_ref.is_some() || !spec.target_refs.is_empty();
    if spec.target_ref.is_some() && !spec.target_refs.is_empty() {
        findings.error(FieldPath::of("spec.targetRefs"), Problem::Exclusive { other: "targetRef" });
    }
    if attached && spec.selector.is_some() {
        findings.error(FieldPath::of(field), Problem::Exclusive { other: "selector" });
    }
    if attached {
        findings.info(FieldPath::of(field), Problem::ForWaypoint);
    }
    attached
}

/// A selector that can select nothing would leave its policy without any effect.
pub(crate) fn check_selector(selector: Option<&WorkloadSelector>, findings: &mut Findings<'_>) {
    for (key, value) in selector.iter().flat_map(|selector| &selector.match_labels) {
        let at = FieldPath::of("spec.selector.matchLabels").field(key);
        if key.is_empty() || key.contains('*') {
            findings.error(at, Problem::Label { value: key.clone() });
        } else if value.contains('*') {
            findings.error(at, Problem::Label { value: value.clone() });
        }
    }
}

pub(crate) fn dry_run(policy: &AuthorizationPolicy, findings: &mut Findings<'_>) -> bool {
    let said = policy.metadata.annotations.get(DRY_RUN).map(String::as_str);
    if let Some(value) = said.filter(|value| !matches!(*value, "true" | "false")) {
        let (expected, consequence) = ("true or false", "the policy is enforced");
        let problem = Problem::Setting { value: value.to_owned(), expected, consequence };
        findings.warning(FieldPath::of("metadata.annotations").field(DRY_RUN), problem);
    }
    is_dry_run(&policy.metadata)
}

/// Whether a policy is to be judged and logged, and never enforced.
pub(crate) fn is_dry_run(metadata: &Metadata) -> bool {
    metadata.annotations.get(DRY_RUN).is_some_and(|said| said == "true")
}

#[cfg(test)]
mod tests;
