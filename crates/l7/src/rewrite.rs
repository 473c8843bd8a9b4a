//! Paths written over.

use crate::{MatchedPath, PathRewrite};

impl PathRewrite {
    /// The new path, in place of one that a rule's match was about. It always begins with a slash.
    #[must_use]
    pub fn apply(&self, matched: MatchedPath, path: &str) -> String {
        let new = match self {
            Self::Full(new) => new.to_string(),
            Self::Prefix(new) => match matched {
                MatchedPath::Whole => new.to_string(),
                MatchedPath::Text(length) => format!("{new}{}", behind(path, length)),
                MatchedPath::Elements(length) => joined(new, behind(path, length)),
            },
            Self::Regex { regex, replacement } => regex.replace_all(path, replacement),
        };
        if new.starts_with('/') { new } else { format!("/{new}") }
    }

    /// The same with the query behind it, unless the new path brings one of its own.
    #[must_use]
    pub fn path_and_query(&self, matched: MatchedPath, path: &str, query: Option<&str>) -> String {
        let mut new = self.apply(matched, path);
        if let Some(query) = query.filter(|_| !new.contains('?')) {
            new.push('?');
            new.push_str(query);
        }
        new
    }
}

/// What is left of a path behind its prefix. The prefix matched it: the length is within, between characters.
fn behind(path: &str, length: usize) -> &str {
    path.get(length..).unwrap_or_default()
}

/// Whole elements in front of others, with one slash between.
fn joined(new: &str, rest: &str) -> String {
    match rest.is_empty() {
        true => new.to_owned(),
        false => format!("{}{rest}", new.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Regex;

    #[test]
    fn elements_are_joined_by_one_slash() {
        // The Gateway API's own table, and the root.
        for (path, prefix, new, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/foo", "", "/xyz", "/xyz/foo"),
            ("/", "", "/xyz", "/xyz/"),
            ("/foo//bar", "/foo", "/xyz", "/xyz//bar"),
        ] {
            let rewrite = PathRewrite::Prefix(new.into());
            assert_eq!(rewrite.apply(MatchedPath::Elements(prefix.len()), path), expected, "{path} {prefix} {new}");
        }
    }

    #[test]
    fn texts_are_put_in_as_they_stand() {
        let regex = |expression, replacement: &str| PathRewrite::Regex {
            regex: Regex::new(expression).unwrap(),
            replacement: replacement.into(),
        };
        for (rewrite, matched, path, expected) in [
            (PathRewrite::Prefix("/v2".into()), MatchedPath::Text(3), "/v1/x", "/v2/x"),
            (PathRewrite::Prefix("/".into()), MatchedPath::Text(4), "/v1/x", "/x"),
            (PathRewrite::Prefix("/".into()), MatchedPath::Text(3), "/v1/x", "//x"),
            (PathRewrite::Prefix("/v2/".into()), MatchedPath::Text(1), "/x", "/v2/x"),
            (PathRewrite::Prefix("v2".into()), MatchedPath::Text(3), "/v1", "/v2"),
            (PathRewrite::Prefix("/v2".into()), MatchedPath::Whole, "/v1/x", "/v2"),
            (PathRewrite::Prefix("/v2".into()), MatchedPath::Text(9), "/v1", "/v2"),
            (PathRewrite::Full("/all".into()), MatchedPath::Elements(2), "/v1/x", "/all"),
            (regex("/v(.)/(.*)", r"/\2/v\1"), MatchedPath::Text(1), "/v1/x", "/x/v1"),
            (regex("v1", "v2"), MatchedPath::Whole, "/v1/v1", "/v2/v2"),
            (regex("/v1", ""), MatchedPath::Whole, "/v1", "/"),
        ] {
            assert_eq!(rewrite.apply(matched, path), expected, "{rewrite:?} {path}");
        }
    }

    #[test]
    fn the_query_stays() {
        let rewrite = PathRewrite::Full("/new".into());
        assert_eq!(rewrite.path_and_query(MatchedPath::Whole, "/old", Some("a=b")), "/new?a=b");
        assert_eq!(rewrite.path_and_query(MatchedPath::Whole, "/old", None), "/new");
        let with_query = PathRewrite::Full("/new?c".into());
        assert_eq!(with_query.path_and_query(MatchedPath::Whole, "/old", Some("a=b")), "/new?c");
    }
}
