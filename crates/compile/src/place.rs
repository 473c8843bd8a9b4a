//! Where an object in force is written, as far as that is kept.

use std::sync::Arc;

use ambit_resources::{FieldPath, ObjectId, Severity};

use crate::{Issue, Problem};

/// An object's name and place. Of its lines one is kept: its own, or that of the one field that may
/// have to be pointed at when objects are put together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) id: &'a ObjectId,
    pub(crate) file: &'a Arc<str>,
    pub(crate) line: u32,
}

impl Place<'_> {
    pub(crate) fn issue(self, severity: Severity, field: FieldPath, problem: Problem) -> Issue {
        let (file, object) = (Arc::clone(self.file), Some(self.id.clone()));
        Issue { severity, file, line: self.line, object, field, problem }
    }
}
