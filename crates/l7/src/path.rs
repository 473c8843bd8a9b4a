//! Paths are normalised before anything is decided by them, and go on as normalised: a backend that read
//! `/public/../admin` otherwise than the policy would be a way round the policy.

use std::borrow::Cow;

use crate::request::escaped;

/// How far paths are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PathNormalization {
    /// Not at all.
    None,
    /// By RFC 3986: `.` and `..` are resolved and needless escapes are read; `\` becomes `/`.
    #[default]
    Base,
    /// And several slashes become one.
    MergeSlashes,
    /// And escaped slashes (`%2F`, `%5C`) become slashes before all that.
    DecodeAndMergeSlashes,
}

/// Why a path is refused: somebody on the way might read it otherwise than we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// A `%` without two hexadecimal digits.
    #[error("no escape of two hexadecimal digits at byte {at} of the path")]
    Escape {
        /// Where.
        at: usize,
    },
    /// An escaped NUL, which ends a path for some.
    #[error("%00 at byte {at} of the path")]
    Nul {
        /// Where.
        at: usize,
    },
    /// A control character, or one that begins another part of a URI.
    #[error("{found:?} at byte {at} of the path")]
    Forbidden {
        /// Which.
        found: char,
        /// Where.
        at: usize,
    },
}

/// Normalises a path without query. What is normal already is not copied; `*` (OPTIONS) and nothing (CONNECT)
/// are left alone. What it gives, it leaves alone the next time.
///
/// # Errors
/// Where the path has no one reading.
pub fn normalise(path: &str, how: PathNormalization) -> Result<Cow<'_, str>, PathError> {
    let merge = match how {
        PathNormalization::None => return Ok(Cow::Borrowed(path)),
        PathNormalization::Base => false,
        PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes => true,
    };
    if path.is_empty() || path == "*" {
        return Ok(Cow::Borrowed(path));
    }
    if is_normal(path.as_bytes(), merge) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path, how == PathNormalization::DecodeAndMergeSlashes)?;
    if !decoded.starts_with('/') {
        return Err(PathError::Relative);
    }
    Ok(Cow::Owned(without_dots(&decoded, merge)))
}

/// Whether there is certainly nothing to do. One pass without branches on the text's contents but rare ones:
/// almost every path is normal.
fn is_normal(path: &[u8], merge: bool) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut previous = 0;
    for &byte in path {
        match byte {
            b'%' | b'\\' | b'#' | b'?' | 0..=0x1f | 0x7f => return false,
            b'.' if previous == b'/' => return false,
            b'/' if merge && previous == b'/' => return false,
            _ => previous = byte,
        }
    }
    true
}

/// Reads the escapes that stand for what needs none, and backslashes.
fn decode(path: &str, slashes: bool) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut chars = path.char_indices();
    while let Some((at, found)) = chars.next() {
        match found {
            '\\' => out.push('/'),
            '#' | '?' | '\0'..='\x1f' | '\x7f' => return Err(PathError::Forbidden { found, at }),
            '%' => {
                let escape = path.get(at..at + 3).ok_or(PathError::Escape { at })?;
                match escape.as_bytes().get(1..).and_then(escaped).ok_or(PathError::Escape { at })? {
                    0 => return Err(PathError::Nul { at }),
                    b'/' | b'\\' if slashes => out.push('/'),
                    plain if is_unreserved(plain) => out.push(plain.into()),
                    _ => out.push_str(escape),
                }
                chars.nth(1);
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// RFC 3986 §2.3: escaped or not, it is the same.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §5.2.4. Slashes are merged last: `/a//../b` is `/a/b` either way.
fn without_dots(path: &str, merge: bool) -> String {
    let mut elements: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." => {}
            ".." => drop(elements.pop()),
            element => {
                elements.push(element);
                continue;
            }
        }
        if last {
            elements.push("");
        }
    }
    let mut out = String::with_capacity(path.len());
    let count = elements.len();
    for (index, element) in elements.into_iter().enumerate() {
        if merge && element.is_empty() && index + 1 < count {
            continue;
        }
        out.push('/');
        out.push_str(element);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_step_by_its_option() {
        // Path; then as BASE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES give it.
        for (path, base, merge, decode) in [
            ("/", "/", "/", "/"),
            ("/a/b", "/a/b", "/a/b", "/a/b"),
            ("/a/./b", "/a/b", "/a/b", "/a/b"),
            ("/a/../b", "/b", "/b", "/b"),
            ("/a/b/..", "/a/", "/a/", "/a/"),
            ("/a/b/.", "/a/b/", "/a/b/", "/a/b/"),
            ("/..", "/", "/", "/"),
            ("/../../a", "/a", "/a", "/a"),
            ("/.a/..b/c./d..", "/.a/..b/c./d..", "/.a/..b/c./d..", "/.a/..b/c./d.."),
            ("/...", "/...", "/...", "/..."),
            ("/%2e%2E/a", "/a", "/a", "/a"),
            ("/%61dmin", "/admin", "/admin", "/admin"),
            ("/a%20b%3f%7e", "/a%20b%3f~", "/a%20b%3f~", "/a%20b%3f~"),
            ("/a\\b", "/a/b", "/a/b", "/a/b"),
            ("/a\\..\\b", "/b", "/b", "/b"),
            ("\\a", "/a", "/a", "/a"),
            ("//a///b//", "//a///b//", "/a/b/", "/a/b/"),
            ("/a//../b", "/a/b", "/a/b", "/a/b"),
            ("//", "//", "/", "/"),
            ("//..", "/", "/", "/"),
            ("/a%2fb", "/a%2fb", "/a%2fb", "/a/b"),
            ("/a%2F%5c%5Cb", "/a%2F%5c%5Cb", "/a%2F%5c%5Cb", "/a/b"),
            ("/public/..%2fadmin", "/public/..%2fadmin", "/public/..%2fadmin", "/admin"),
            ("/a b", "/a b", "/a b", "/a b"),
            ("/%252e", "/%252e", "/%252e", "/%252e"),
            ("/\u{e9}/../x\u{e9}", "/x\u{e9}", "/x\u{e9}", "/x\u{e9}"),
            ("*", "*", "*", "*"),
            ("", "", "", ""),
        ] {
            for (how, expected) in [(None, path), (Base, base), (MergeSlashes, merge), (DecodeAndMergeSlashes, decode)]
            {
                assert_eq!(normalise(path, how).as_deref(), Ok(expected), "{path} {how:?}");
            }
        }
    }

    #[test]
    fn what_has_no_one_reading_is_refused() {
        for (path, expected) in [
            ("a", PathError::Relative),
            ("**", PathError::Relative),
            ("%2fa", PathError::Relative),
            ("/%", PathError::Escape { at: 1 }),
            ("/a%2", PathError::Escape { at: 2 }),
            ("/%zz", PathError::Escape { at: 1 }),
            ("/%+1", PathError::Escape { at: 1 }),
            ("/%%32%65", PathError::Escape { at: 1 }),
            ("/a%00", PathError::Nul { at: 2 }),
            ("/a#b", PathError::Forbidden { found: '#', at: 2 }),
            ("/a?b", PathError::Forbidden { found: '?', at: 2 }),
            ("/a\tb", PathError::Forbidden { found: '\t', at: 2 }),
        ] {
            assert_eq!(normalise(path, Base), Err(expected), "{path}");
            assert_eq!(normalise(path, None).as_deref(), Ok(path), "{path}");
        }
    }

    #[test]
    fn what_is_normal_is_not_copied() {
        for path in ["/", "/a/b.c/d", "/a//b", "*"] {
            assert!(matches!(normalise(path, Base), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    fn any_how() -> impl Strategy<Value = PathNormalization> {
        proptest::sample::select(vec![None, Base, MergeSlashes, DecodeAndMergeSlashes])
    }

    proptest! {
        #[test]
        fn a_second_time_changes_nothing(path in "/([/.a\\\\é]|%2[eEfF]|%5c|%41|%25){0,24}", how in any_how()) {
            let once = normalise(&path, how).unwrap().into_owned();
            prop_assert_eq!(&*normalise(&once, how).unwrap(), &once);
            if how != None {
                prop_assert!(once.starts_with('/'));
                prop_assert!(once.split('/').all(|element| element != "." && element != ".."), "{once}");
                prop_assert!(!once.contains('\\'), "{once}");
            }
            if matches!(how, MergeSlashes | DecodeAndMergeSlashes) {
                prop_assert!(!once.contains("//"), "{once}");
            }
        }

        #[test]
        fn no_text_is_too_strange(path in ".*", how in any_how()) {
            if let Ok(once) = normalise(&path, how) {
                let twice = normalise(&once, how).unwrap();
                prop_assert_eq!(&*twice, &*once);
            }
        }
    }
}
