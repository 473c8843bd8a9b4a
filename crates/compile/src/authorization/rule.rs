//! One rule: `from`, `to` and `when`, ANDed.

use ambit_model::{Action, Clause, Match, Rule};
use ambit_resources::{self as resources, FieldPath};

use crate::Problem;
use crate::authorization::values::ports;
use crate::findings::Findings;

/// What a rule must know of its policy.
pub(super) struct Policy<'a> {
    /// What a match means; nothing for a policy that is only checked.
    pub(super) action: Option<Action>,
    pub(super) namespace: &'a str,
}

/// One source, operation or condition, by what is visible in a TCP connection.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) visible: Match,
    /// Whether it says something more, that is not visible.
    pub(super) more: bool,
}

impl Policy<'_> {
    /// A rule; nothing for one that must never match.
    pub(super) fn rule(&self, rule: &resources::Rule, at: &FieldPath, findings: &mut Findings<'_>) -> Option<Rule> {
        let place = |list: &str, index: usize, inner: &str| at.field(list).index(index).field(inner);
        let mut parts: Vec<Vec<Judged>> = Vec::new();
        let from = rule.from.iter().enumerate();
        parts.push(from.map(|(i, from)| self.source(&from.source, &place("from", i, "source"), findings)).collect());
        let to = rule.to.iter().enumerate();
        parts.push(to.map(|(i, to)| self.operation(&to.operation, &place("to", i, "operation"), findings)).collect());
        for (i, condition) in rule.when.iter().enumerate() {
            parts.push(vec![self.condition(condition, &at.field("when").index(i), findings)]);
        }
        let more = parts.iter().flatten().any(|judged| judged.more);
        if more && self.action == Some(Action::Allow) {
            return None;
        }
        let clauses: Vec<Clause> = parts.into_iter().filter_map(clause).collect();
        if more && clauses.is_empty() && self.action.is_some() {
            findings.warning(at.clone(), Problem::DeniesEverything);
        }
        Some(Rule { clauses })
    }

    /// Says that a field is not visible.
    pub(super) fn invisible(&self, at: FieldPath, judged: &mut Judged, findings: &mut Findings<'_>) {
        judged.more = true;
        match self.action {
            Some(Action::Allow) => findings.warning(at, Problem::AllowRuleDropped),
            Some(Action::Deny) => findings.warning(at, Problem::DenyRuleWidened),
            None => {}
        }
    }

    fn operation(&self, operation: &resources::Operation, at: &FieldPath, findings: &mut Findings<'_>) -> Judged {
        let resources::Operation {
            hosts,
            not_hosts,
            ports: numbers,
            not_ports,
            methods,
            not_methods,
            paths,
            not_paths,
        } = operation;
        let mut judged = Judged::default();
        judged.visible.destination_ports = ports(numbers, &at.field("ports"), findings);
        judged.visible.not_destination_ports = ports(not_ports, &at.field("notPorts"), findings);
        for (name, values) in [
            ("hosts", hosts),
            ("notHosts", not_hosts),
            ("methods", methods),
            ("notMethods", not_methods),
            ("paths", paths),
            ("notPaths", not_paths),
        ] {
            if !values.is_empty() {
                self.invisible(at.field(name), &mut judged, findings);
            }
        }
        if numbers.is_empty() && not_ports.is_empty() && !judged.more {
            findings.error(at.clone(), Problem::Empty);
        }
        judged
    }
}

/// Alternatives as a clause; nothing where there are none, or where one of them is always true. (An
/// empty match is *never* true in the model, so it must not be handed on.)
fn clause(alternatives: Vec<Judged>) -> Option<Clause> {
    let matches: Vec<Match> = alternatives.into_iter().map(|judged| judged.visible).collect();
    (!matches.is_empty() && !matches.contains(&Match::default())).then_some(Clause { matches })
}
