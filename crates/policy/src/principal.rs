//! Compares a principal, `<trust domain>/ns/<namespace>/sa/<service account>`, part by part: judging a
//! connection never builds the text.

use ambit_model::{Identity, StringMatch};

/// Whether the identity, written without its scheme, matches.
pub(crate) fn principal_matches(wanted: &StringMatch, identity: &Identity) -> bool {
    let parts = [identity.trust_domain(), "/ns/", identity.namespace(), "/sa/", identity.service_account()];
    match wanted {
        StringMatch::Exact(text) => text.len() == parts.map(str::len).iter().sum::<usize>() && begins(&parts, text),
        StringMatch::Prefix(text) => begins(&parts, text),
        StringMatch::Suffix(text) => ends(&parts, text),
        StringMatch::Presence => true,
    }
}

fn begins(parts: &[&str], mut text: &str) -> bool {
    for part in parts {
        match text.strip_prefix(part) {
            Some(rest) => text = rest,
            None => return part.starts_with(text),
        }
    }
    text.is_empty()
}

fn ends(parts: &[&str], mut text: &str) -> bool {
    for part in parts.iter().rev() {
        match text.strip_suffix(part) {
            Some(rest) => text = rest,
            None => return part.ends_with(text),
        }
    }
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_text_for_every_prefix_and_suffix() {
        let identities = [Identity::new("td", "ns", "sa"), Identity::new("a", "a", "a"), Identity::new("", "ns", "sa")];
        for identity in &identities {
            let text = identity.principal();
            for at in 0..=text.len() {
                let (head, tail) = text.split_at(at);
                for part in [head.to_owned(), tail.to_owned(), format!("{head}x"), format!("x{tail}"), "/".into()] {
                    for wanted in [
                        StringMatch::Exact(part.as_str().into()),
                        StringMatch::Prefix(part.as_str().into()),
                        StringMatch::Suffix(part.as_str().into()),
                        StringMatch::Presence,
                    ] {
                        assert_eq!(principal_matches(&wanted, identity), wanted.matches(&text), "{wanted:?} on {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_scheme_is_no_part_of_a_principal() {
        let identity = Identity::new("td", "ns", "sa");
        assert!(!principal_matches(&StringMatch::parse("spiffe://td/ns/ns/sa/sa"), &identity));
        assert!(!principal_matches(&StringMatch::parse("spiffe://*"), &identity));
    }
}
