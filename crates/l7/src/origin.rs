//! Where a rule comes from.

use std::fmt;
use std::sync::Arc;

/// The rule of the user's object that something was made of, for logs and explanations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The object, as `VirtualService shop/reviews`.
    pub object: Arc<str>,
    /// The field, as `spec.http[1]`.
    pub field: Arc<str>,
    /// The rule's own name; may be empty.
    pub name: Arc<str>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.field)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " ({})", self.name) }
    }
}
