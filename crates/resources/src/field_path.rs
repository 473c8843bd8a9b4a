//! Where in an object something stands: `spec.rules[0].from[1]`.

use std::fmt;

/// The path of a field inside an object. The empty path is the object itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FieldPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Segment {
    Field(String),
    Index(usize),
}

impl FieldPath {
    /// The path of `a.b.c`: names joined by dots, without indices.
    #[must_use]
    pub fn of(dotted: &str) -> Self {
        dotted.split('.').filter(|name| !name.is_empty()).fold(Self::default(), |path, name| path.field(name))
    }

    /// The path of a field of what this path leads to.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(Segment::Field(name.to_owned()))
    }

    /// The path of an item of the list this path leads to.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Makes this the path of a field of what it leads to, for a while.
    pub(crate) fn while_at_field(&mut self, name: &str, does: impl FnOnce(&mut Self)) {
        self.while_at(Segment::Field(name.to_owned()), does);
    }

    /// Makes this the path of an item of the list it leads to, for a while.
    pub(crate) fn while_at_index(&mut self, index: usize, does: impl FnOnce(&mut Self)) {
        self.while_at(Segment::Index(index), does);
    }

    fn while_at(&mut self, segment: Segment, does: impl FnOnce(&mut Self)) {
        self.0.push(segment);
        does(self);
        self.0.pop();
    }

    /// Whether this is the object itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// What this path's last step is taken from, and the name of the field it leads to; nothing for
    /// the object itself and for items of lists.
    pub(crate) fn split_field(&self) -> Option<(Self, &str)> {
        match self.0.split_last()? {
            (Segment::Field(name), parent) => Some((Self(parent.to_vec()), name)),
            (Segment::Index(_), _) => None,
        }
    }

    /// This path with every index as `[*]`: the key of the tables of known fields.
    pub(crate) fn pattern(&self) -> String {
        self.render(|_| "[*]".to_owned())
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    fn render(&self, index: impl Fn(usize) -> String) -> String {
        let mut text = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Field(name) if text.is_empty() => text.push_str(name),
                Segment::Field(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                Segment::Index(at) => text.push_str(&index(*at)),
            }
        }
        text
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(|at| format!("[{at}]")))
    }
}

impl From<&serde_ignored::Path<'_>> for FieldPath {
    fn from(path: &serde_ignored::Path<'_>) -> Self {
        use serde_ignored::Path;
        match path {
            Path::Root => Self::default(),
            Path::Seq { parent, index } => Self::from(*parent).index(*index),
            Path::Map { parent, key } => Self::from(*parent).field(key),
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                Self::from(*parent)
            }
        }
    }
}

impl From<&serde_path_to_error::Path> for FieldPath {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment as Step;
        path.iter().fold(Self::default(), |path, step| match step {
            Step::Seq { index } => path.index(*index),
            Step::Map { key } => path.field(key),
            Step::Enum { .. } | Step::Unknown => path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_users_write_it() {
        let path = FieldPath::of("spec.rules").index(2).field("from").index(0);
        assert_eq!(path.to_string(), "spec.rules[2].from[0]");
        assert_eq!(path.pattern(), "spec.rules[*].from[*]");
        assert_eq!(path.field("source").split_field().map(|(_, name)| name), Some("source"));
        assert!(path.split_field().is_none());
    }
}
