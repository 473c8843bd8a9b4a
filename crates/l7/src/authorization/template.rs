//! Paths with holes.

use crate::{PathTemplate, TemplatePart};

/// Why a text is no template of paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathTemplateError {
    /// It does not begin with a slash.
    #[error("a path template begins with a slash")]
    Relative,
    /// A brace or star that is no hole between slashes.
    #[error("{0:?}: only {{*}} and {{**}}, each alone between slashes, stand for anything in a path template")]
    Element(String),
    /// Two holes for any number of elements.
    #[error("{{**}} stands twice in a path template")]
    Several,
}

impl PathTemplate {
    /// Reads a template, as `/tenants/{*}/files/{**}`.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, PathTemplateError> {
        let elements = text.strip_prefix('/').ok_or(PathTemplateError::Relative)?.split('/');
        let parts = elements.map(|element| match element {
            "{*}" => Ok(TemplatePart::One),
            "{**}" => Ok(TemplatePart::Any),
            other if other.contains(['{', '}', '*']) => Err(PathTemplateError::Element(other.to_owned())),
            text => Ok(TemplatePart::Text(text.into())),
        });
        let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
        if parts.iter().filter(|part| **part == TemplatePart::Any).count() > 1 {
            return Err(PathTemplateError::Several);
        }
        Ok(Self(parts.into()))
    }

    /// Whether a path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut elements = path.split('/');
        let mut parts = self.0.iter();
        for part in parts.by_ref() {
            if *part == TemplatePart::Any {
                // The rest from its end: what is left between is any's.
                return parts.rev().all(|part| fits(part, elements.next_back())) && elements.next().is_some();
            }
            if !fits(part, elements.next()) {
                return false;
            }
        }
        elements.next().is_none()
    }
}

fn fits(part: &TemplatePart, element: Option<&str>) -> bool {
    element.is_some_and(|element| match part {
        TemplatePart::Text(text) => **text == *element,
        TemplatePart::One => !element.is_empty(),
        TemplatePart::Any => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_elements() {
        for (template, matching, other) in [
            ("/foo/{*}", &["/foo/bar"][..], &["/foo", "/foo/", "/foo/bar/baz", "/foo/bar/", "/fo/bar", "foo/bar"][..]),
            ("/foo/{**}", &["/foo/bar", "/foo/bar/baz", "/foo/", "/foo//"], &["/foo", "/foobar", "/"]),
            ("/foo/{**}/", &["/foo/bar/", "/foo/bar/baz.txt/", "/foo//"], &["/foo/bar", "/foo/"]),
            ("/foo/{*}/bar/{**}", &["/foo/buzz/bar/", "/foo/buzz/bar/baz"], &["/foo/bar/baz", "/foo//bar/x"]),
            ("/{**}/v1/{*}", &["/a/v1/b", "/a/b/v1/c", "//v1/b"], &["/v1/b", "/a/v1/", "/a/v1/b/c"]),
            ("/{**}", &["/", "/a", "/a/b"], &["", "a", "*"]),
            ("/a/b", &["/a/b"], &["/a", "/a/b/", "/a/b/c"]),
        ] {
            let parsed = PathTemplate::parse(template).unwrap();
            for path in matching {
                assert!(parsed.matches(path), "{template} {path}");
            }
            for path in other {
                assert!(!parsed.matches(path), "{template} {path}");
            }
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, expected) in [
            ("", PathTemplateError::Relative),
            ("{*}", PathTemplateError::Relative),
            ("/a{*}", PathTemplateError::Element("a{*}".into())),
            ("/{x}", PathTemplateError::Element("{x}".into())),
            ("/{*}/*", PathTemplateError::Element("*".into())),
            ("/{***}", PathTemplateError::Element("{***}".into())),
            ("/{**}/a/{**}", PathTemplateError::Several),
        ] {
            assert_eq!(PathTemplate::parse(text), Err(expected), "{text}");
        }
    }
}
