//! What is to be said about a file or an object: where, how bad, what.

use std::fmt;
use std::sync::Arc;

use crate::{FieldPath, ObjectId};

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong, but the user may want to know.
    Info,
    /// The object is in force, though perhaps not as meant.
    Warning,
    /// The object, as it is written now, is not in force.
    Error,
}

impl Severity {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing to be said, and where. `P` is what can be wrong at this stage: [`Problem`] for reading,
/// the compiler has its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issue<P> {
    /// How bad.
    pub severity: Severity,
    /// The file, or what else it comes from.
    pub file: Arc<str>,
    /// The line in the file, from 1; 0 for the file as a whole, and for what is in no file.
    pub line: u32,
    /// The object, where it can be named.
    pub object: Option<ObjectId>,
    /// The field in the object.
    pub field: FieldPath,
    /// What.
    pub problem: P,
}

impl<P> Issue<P> {
    /// The same issue in a wider vocabulary.
    pub fn map<Q>(self, problem: impl FnOnce(P) -> Q) -> Issue<Q> {
        let Self { severity, file, line, object, field, problem: old } = self;
        Issue { severity, file, line, object, field, problem: problem(old) }
    }

    /// Whether this keeps the object from being in force.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl<P: fmt::Display> fmt::Display for Issue<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: ", self.file, self.severity.word())?,
            line => write!(f, "{}:{line}: {}: ", self.file, self.severity.word())?,
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_root() {
            write!(f, "{}: ", self.field)?;
        }
        self.problem.fmt(f)
    }
}

/// What can be wrong with a file, or with an object before anybody asks what it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Problem {
    /// The file is larger than any honest one.
    #[error("the file has {bytes} bytes, more than the {limit} that are read")]
    FileTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The document is not YAML, or is built to exhaust its reader.
    #[error("{detail}")]
    Syntax {
        /// The YAML reader's words.
        detail: String,
    },
    /// The document is YAML, but no mapping.
    #[error("not a Kubernetes object: a mapping with apiVersion, kind and metadata is expected")]
    NotAnObject,
    /// A field without which there is no object.
    #[error("required, but absent")]
    Missing,
    /// A kind of which no field is used.
    #[error("kind {kind} of {api_version} is not used by the mesh: ignored")]
    UnusedKind {
        /// Its apiVersion.
        api_version: String,
        /// Its kind.
        kind: String,
    },
    /// A kind that the user must believe to have an effect.
    #[error("there is no kind {kind} in {api_version}{}", did_you_mean(meant.as_ref()))]
    UnknownKind {
        /// Its apiVersion.
        api_version: String,
        /// Its kind.
        kind: String,
        /// The nearest that exists, as `apiVersion kind`.
        meant: Option<String>,
    },
    /// The field does not exist.
    #[error("unknown field{}", did_you_mean(meant.as_ref()))]
    UnknownField {
        /// The nearest field that exists there.
        meant: Option<String>,
    },
    /// The value is not of the field's type.
    #[error("{detail}")]
    Type {
        /// What is there and what is expected.
        detail: String,
    },
    /// A policy's field without a value: the API server refuses it, and to read it as absent would
    /// widen the policy.
    #[error("no value: leave the field out, or give it one")]
    Null,
    /// A policy's empty list: to read it as absent would widen the policy.
    #[error("an empty list: leave the field out, or give it values")]
    EmptyList,
    /// Not a name Kubernetes would accept.
    #[error("{name:?} is not a valid name: lower-case letters, digits, '-'{}, at most {limit} characters", if *.dots { " and '.'" } else { "" })]
    Name {
        /// The name.
        name: String,
        /// Whether dots are allowed.
        dots: bool,
        /// The longest allowed.
        limit: usize,
    },
}

fn did_you_mean(meant: Option<&String>) -> String {
    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}
