//! Why a rule decides, and why the others do not.

use std::fmt;
use std::sync::Arc;

use crate::{ClientView, ConnectionView, HttpRule, Miss, Origin, RequestView, TcpRule, TlsRule, conditions};

/// What one rule says to a request or a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'r> {
    /// Where the rule is written.
    pub origin: &'r Origin,
    /// What it says.
    pub verdict: Verdict<'r>,
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// It decides.
    Decides {
        /// Which of its matches applies; none: it has none, and applies to everything.
        matched: Option<usize>,
    },
    /// It would, if a rule before it did not.
    ComesLater {
        /// Which of its matches applies.
        matched: Option<usize>,
    },
    /// It does not apply: why, by match.
    Misses(Vec<Miss<'r>>),
}

/// What every rule says to a request, in order.
#[must_use]
pub fn explain_http<'r>(
    rules: &'r [Arc<HttpRule>],
    request: &RequestView<'_>,
    client: &ClientView<'_>,
) -> Vec<Explanation<'r>> {
    let says = |rule: &'r Arc<HttpRule>| {
        let misses = rule.matches.iter().map(|wanted| conditions::http(wanted, request, client));
        (&rule.origin, verdict(misses))
    };
    in_order(rules.iter().map(says))
}

/// What every rule says to a connection of TLS, in order.
#[must_use]
pub fn explain_tls<'r>(
    rules: &'r [Arc<TlsRule>],
    asked: &ConnectionView<'_>,
    client: &ClientView<'_>,
) -> Vec<Explanation<'r>> {
    let says = |rule: &'r Arc<TlsRule>| {
        let misses = rule.matches.iter().map(|wanted| conditions::tls(wanted, asked, client));
        (&rule.origin, verdict(misses))
    };
    in_order(rules.iter().map(says))
}

/// What every rule says to a connection, in order.
#[must_use]
pub fn explain_tcp<'r>(
    rules: &'r [Arc<TcpRule>],
    asked: &ConnectionView<'_>,
    client: &ClientView<'_>,
) -> Vec<Explanation<'r>> {
    let says = |rule: &'r Arc<TcpRule>| {
        let misses = rule.matches.iter().map(|wanted| conditions::tcp(wanted, asked, client));
        (&rule.origin, verdict(misses))
    };
    in_order(rules.iter().map(says))
}

/// What a rule says by itself.
fn verdict<'r>(matches: impl Iterator<Item = Option<Miss<'r>>>) -> Verdict<'r> {
    let mut misses = Vec::new();
    for (index, miss) in matches.enumerate() {
        match miss {
            Some(miss) => misses.push(miss),
            None => return Verdict::Decides { matched: Some(index) },
        }
    }
    if misses.is_empty() { Verdict::Decides { matched: None } } else { Verdict::Misses(misses) }
}

/// Only the first that applies decides.
fn in_order<'r>(rules: impl Iterator<Item = (&'r Origin, Verdict<'r>)>) -> Vec<Explanation<'r>> {
    let mut decided = false;
    let explain = |(origin, verdict)| {
        let verdict = match verdict {
            Verdict::Decides { matched } if decided => Verdict::ComesLater { matched },
            Verdict::Decides { .. } => {
                decided = true;
                verdict
            }
            Verdict::ComesLater { .. } | Verdict::Misses(_) => verdict,
        };
        Explanation { origin, verdict }
    };
    rules.map(explain).collect()
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.verdict)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decides { matched: None } => f.write_str("decides, it applies to everything"),
            Self::Decides { matched: Some(index) } => write!(f, "decides, by its match [{index}]"),
            Self::ComesLater { .. } => f.write_str("matches too, but one before it decides"),
            Self::Misses(misses) => {
                f.write_str("does not match: ")?;
                for (index, miss) in misses.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}[{index}] {miss}")?;
                }
                Ok(())
            }
        }
    }
}
