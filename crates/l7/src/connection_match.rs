//! Which rule decides about a connection. There are few: they are asked one by one.

use std::sync::Arc;

use crate::{ClientView, ConnectionView, TcpRule, TlsRule, conditions};

/// The first rule that matches a connection of TLS, with its place.
#[must_use]
pub fn decide_tls<'r>(
    rules: &'r [Arc<TlsRule>],
    asked: &ConnectionView<'_>,
    client: &ClientView<'_>,
) -> Option<(usize, &'r Arc<TlsRule>)> {
    rules
        .iter()
        .enumerate()
        .find(|(_, rule)| any(&rule.matches, |wanted| conditions::tls(wanted, asked, client).is_none()))
}

/// The first rule that matches a connection, with its place.
#[must_use]
pub fn decide_tcp<'r>(
    rules: &'r [Arc<TcpRule>],
    asked: &ConnectionView<'_>,
    client: &ClientView<'_>,
) -> Option<(usize, &'r Arc<TcpRule>)> {
    rules
        .iter()
        .enumerate()
        .find(|(_, rule)| any(&rule.matches, |wanted| conditions::tcp(wanted, asked, client).is_none()))
}

/// Matches are ORed; without any, everything matches.
fn any<T>(matches: &[T], applies: impl Fn(&T) -> bool) -> bool {
    matches.is_empty() || matches.iter().any(applies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Asked, Client, origin};
    use crate::{Explanation, L4Match, Pattern, TlsMatch, Verdict, explain_tcp, explain_tls};

    fn decides(explained: &[Explanation<'_>]) -> Option<usize> {
        explained.iter().position(|rule| matches!(rule.verdict, Verdict::Decides { .. }))
    }

    #[test]
    fn the_first_rule_wins_and_its_matches_are_alternatives() {
        let port = |port| L4Match { port: Some(port), ..L4Match::default() };
        let tcp = |matches| Arc::new(TcpRule { origin: origin(""), matches, backends: Vec::new() });
        let rules = [tcp(vec![port(81), port(82)]), tcp(vec![port(82)]), tcp(Vec::new()), tcp(Vec::new())];
        let client = Client::default();
        for (port, expected) in [(81, Some(0)), (82, Some(0)), (83, Some(2))] {
            let asked = Asked { port, ..Asked::default() };
            let decided = decide_tcp(&rules, &asked.connection(), &client.view());
            assert_eq!(decided.map(|(index, _)| index), expected, "{port}");
            assert_eq!(decides(&explain_tcp(&rules, &asked.connection(), &client.view())), expected, "{port}");
        }

        let name = |name: &str| TlsMatch { server_names: vec![Pattern::Exact(name.into())], ..TlsMatch::default() };
        let tls = |matches| Arc::new(TlsRule { origin: origin(""), matches, backends: Vec::new() });
        let rules = [tls(vec![name("a"), name("b")]), tls(vec![name("c")])];
        for (name, expected) in [("a", Some(0)), ("b", Some(0)), ("c", Some(1)), ("d", None)] {
            let asked = Asked { server_name: Some(name.into()), ..Asked::default() };
            let decided = decide_tls(&rules, &asked.connection(), &client.view());
            assert_eq!(decided.map(|(index, _)| index), expected, "{name}");
            assert_eq!(decides(&explain_tls(&rules, &asked.connection(), &client.view())), expected, "{name}");
        }
    }
}
