//! Where in an object the compiler is, without an allocation: paths are made only of what is complained about.

use std::fmt;

use ambit_resources::FieldPath;

/// A field, and the way to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The object's `spec`.
    pub(crate) const SPEC: At<'static> = At { parent: None, step: Step::Field("spec") };

    pub(crate) fn field(&'a self, name: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Field(name) }
    }

    pub(crate) fn index(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn path(&self) -> FieldPath {
        let parent = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Field(name) => parent.field(name),
            Step::Index(index) => parent.index(index),
        }
    }
}

/// As the path is displayed.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
