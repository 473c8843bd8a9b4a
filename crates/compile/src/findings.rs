//! Gathers what there is to be said about one object.

use ambit_resources::{FieldPath, Origin, Severity};

use crate::{Issue, Problem};

pub(crate) struct Findings<'a> {
    origin: &'a Origin,
    pub(crate) issues: Vec<Issue>,
}

impl<'a> Findings<'a> {
    pub(crate) fn of(origin: &'a Origin) -> Self {
        Self { origin, issues: Vec::new() }
    }

    pub(crate) fn error(&mut self, at: FieldPath, problem: Problem) {
        self.issues.push(self.origin.issue(Severity::Error, at, problem));
    }

    pub(crate) fn warning(&mut self, at: FieldPath, problem: Problem) {
        self.issues.push(self.origin.issue(Severity::Warning, at, problem));
    }

    pub(crate) fn info(&mut self, at: FieldPath, problem: Problem) {
        self.issues.push(self.origin.issue(Severity::Info, at, problem));
    }
}
