//! Host names as users write them.

use std::sync::Arc;

use ambit_resources::is_name;

/// A service's host name, or `*.` and the end of several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HostPattern(Arc<str>);

impl HostPattern {
    /// What a host may mean as an object of a namespace writes it.
    pub(crate) fn of(host: &str, namespace: &str, cluster_domain: &str) -> impl Iterator<Item = Self> {
        full_names(host, namespace, cluster_domain).into_iter().map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    pub(crate) fn matches(&self, hostname: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(end) => hostname.len() > end.len() && hostname.ends_with(end),
            None => hostname == &*self.0,
        }
    }
}

/// The patterns that match a host name, the most specific first: itself, `*.` and its ends, `*`.
pub(crate) fn patterns_of(hostname: &str) -> impl Iterator<Item = HostPattern> {
    let own = HostPattern(hostname.into());
    let name = hostname.strip_prefix("*.").unwrap_or(hostname);
    let dots = name.match_indices('.').map(|(at, _)| name.split_at(at).1);
    let ends: Vec<_> = dots.map(|end| HostPattern(format!("*{end}").into())).collect();
    std::iter::once(own).chain(ends).chain(Some(HostPattern("*".into())))
}

/// The host names that a host may mean, the likeliest first: one word is a service of the namespace; more may
/// leave out `svc.` and the cluster's domain.
pub(crate) fn full_names(host: &str, namespace: &str, cluster_domain: &str) -> Vec<Arc<str>> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.contains('*') {
        return vec![host.into()];
    }
    if !host.contains('.') {
        return vec![format!("{host}.{namespace}.svc.{cluster_domain}").into()];
    }
    let mut names: Vec<Arc<str>> = vec![host.as_str().into()];
    match host.split('.').collect::<Vec<_>>().as_slice() {
        [_, _] => names.push(format!("{host}.svc.{cluster_domain}").into()),
        [_, _, "svc"] => names.push(format!("{host}.{cluster_domain}").into()),
        _ => {}
    }
    names
}

/// Whether a text is a DNS name, with or without `*.` before it.
pub(crate) fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let name = name.trim_end_matches('.').to_ascii_lowercase().replace('_', "-");
    is_name(&name, true)
}

/// Whether an object of a namespace is seen from another, by its `exportTo` or else by the mesh's.
pub(crate) fn is_exported(own_list: &[String], default: &[String], own: &str, to: &str) -> bool {
    let export_to = if own_list.is_empty() { default } else { own_list };
    export_to.is_empty()
        || export_to.iter().any(|namespace| match namespace.as_str() {
            "*" => true,
            "." => own == to,
            name => name == to,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_short() {
        for (host, expected) in [
            ("reviews", "reviews.shop.svc.cluster.local"),
            ("Reviews", "reviews.shop.svc.cluster.local"),
            ("reviews.other", "reviews.other reviews.other.svc.cluster.local"),
            ("reviews.other.svc", "reviews.other.svc reviews.other.svc.cluster.local"),
            ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
            ("api.example.com.", "api.example.com"),
            ("*.example.com", "*.example.com"),
        ] {
            assert_eq!(full_names(host, "shop", "cluster.local").join(" "), expected, "{host}");
        }
    }

    #[test]
    fn the_most_specific_pattern_is_first() {
        let found: Vec<_> = patterns_of("a.b.c").map(|pattern| pattern.as_str().to_owned()).collect();
        assert_eq!(found, ["a.b.c", "*.b.c", "*.c", "*"]);
        let found: Vec<_> = patterns_of("*.b.c").map(|pattern| pattern.as_str().to_owned()).collect();
        assert_eq!(found, ["*.b.c", "*.c", "*"]);
        for hostname in ["a.b.c", "*.b.c", "x.a.b.c"] {
            for pattern in patterns_of(hostname) {
                assert!(pattern.matches(hostname), "{} {hostname}", pattern.as_str());
            }
        }
        assert!(!HostPattern("*.b.c".into()).matches("b.c"));
        assert!(!HostPattern("*.b.c".into()).matches("a.xb.c"));
    }

    #[test]
    fn objects_are_seen_where_they_are_exported() {
        for (own, default, to, expected) in [
            ("", "", "any", true),
            ("", ".", "own", true),
            ("", ".", "any", false),
            ("*", ".", "any", true),
            ("*", "", "any", true),
            (".", "", "own", true),
            (".", "*", "any", false),
            ("~", "", "own", false),
            ("a b", "", "b", true),
            ("a b", "own", "own", false),
        ] {
            let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(is_exported(&list(own), &list(default), "own", to), expected, "{own:?} {default:?} {to}");
        }
    }
}
