//! Rate limits: which requests a limit is about, and which of them count together.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{PolicyKey, ServiceKey};
use http::HeaderName;

use crate::authorization::rule_matches;
use crate::{HttpAuthorizationRule, HttpFacts, Origin};

/// A limit on requests: one rule of a RateLimitPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// The policy.
    pub policy: PolicyKey,
    /// The rule's name in it.
    pub name: Arc<str>,
    /// Requests it is about.
    pub when: HttpAuthorizationRule,
    /// What requests have in common that count together; without any, all do.
    pub key: Vec<LimitKey>,
    /// Who counts.
    pub counter: LimitCounter,
    /// Whether what is over the limit is only counted.
    pub dry_run: bool,
    /// Whether answers tell the limit.
    pub told: bool,
    /// Whether clients of gRPC are told RESOURCE_EXHAUSTED, in the place of UNAVAILABLE.
    pub resource_exhausted: bool,
}

/// Something of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's identity.
    ClientIdentity,
    /// The client's address.
    ClientIp,
    /// The path, normalised, without the query.
    Path,
    /// The method.
    Method,
    /// A header.
    Header(HeaderName),
    /// A claim of a valid token.
    Claim {
        /// The way into it.
        path: Arc<[Arc<str>]>,
        /// As it was written.
        name: Arc<str>,
    },
}

/// Who counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitCounter {
    /// This process.
    Local(Rate),
    /// A service.
    Global(GlobalLimit),
}

/// How many requests there may be: a bucket that fills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many
    pub requests: NonZeroU32,
    /// in this time, which is longer than nothing.
    pub per: Duration,
    /// How many it holds.
    pub burst: NonZeroU32,
}

/// What a service that counts is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalLimit {
    /// The service.
    pub service: Arc<LimitService>,
    /// The domain.
    pub domain: Arc<str>,
    /// Entries of the descriptor, before those of the key.
    pub entries: Vec<(Arc<str>, Arc<str>)>,
}

/// A service that counts (`envoy.service.ratelimit.v3.RateLimitService`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitService {
    /// Where it is.
    pub service: ServiceKey,
    /// Its port.
    pub port: u16,
    /// Longest wait for it.
    pub timeout: Duration,
    /// Whether requests pass when it cannot be asked.
    pub fail_open: bool,
}

/// A limit, and what of a service it is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedLimit {
    /// The limit.
    pub limit: Arc<RateLimit>,
    /// ORed. It counts a request once, by however many of them it is attached.
    pub scopes: Vec<LimitScope>,
}

/// A part of a service's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitScope {
    /// All of them.
    All,
    /// Those for a port.
    Port(u16),
    /// Those that rules of an object decide about.
    Route {
        /// The object, as [`Origin::object`].
        object: Arc<str>,
        /// The rule's name; none: all of them.
        rule: Option<Arc<str>>,
    },
}

impl AttachedLimit {
    /// Whether it is about a request for a port of the service, and by the rule that decides about it.
    #[must_use]
    pub fn is_for(&self, port: u16, rule: Option<&Origin>) -> bool {
        self.scopes.iter().any(|scope| match scope {
            LimitScope::All => true,
            LimitScope::Port(of) => *of == port,
            LimitScope::Route { object, rule: name } => rule
                .is_some_and(|found| found.object == *object && name.as_ref().is_none_or(|name| *name == found.name)),
        })
    }
}

impl RateLimit {
    /// Whether it is about a request.
    #[must_use]
    pub fn concerns(&self, facts: &HttpFacts<'_>) -> bool {
        rule_matches(&self.when, facts)
    }

    /// What a request has in common with those that it counts with.
    pub fn hash_key(&self, facts: &HttpFacts<'_>, state: &mut impl Hasher) {
        for key in &self.key {
            match key {
                LimitKey::ClientIdentity => facts.client.identity.hash(state),
                LimitKey::ClientIp => facts.client.remote_ip.hash(state),
                LimitKey::Path | LimitKey::Method | LimitKey::Header(_) | LimitKey::Claim { .. } => {
                    key.value(facts).hash(state);
                }
            }
        }
    }
}

impl LimitKey {
    /// How a service that counts knows it: for addresses by the field's word.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ClientIdentity => "client_identity",
            Self::ClientIp => "remote_address",
            Self::Path => "path",
            Self::Method => "method",
            Self::Header(name) => name.as_str(),
            Self::Claim { name, .. } => name,
        }
    }

    /// What it is of a request; nothing where the request lacks it.
    #[must_use]
    pub fn value<'a>(&self, facts: &HttpFacts<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::ClientIdentity => facts.client.identity.map(|identity| Cow::Owned(identity.to_string())),
            Self::ClientIp => Some(Cow::Owned(facts.client.remote_ip.to_string())),
            Self::Path => Some(Cow::Borrowed(facts.request.path)),
            Self::Method => Some(Cow::Borrowed(facts.request.method.as_str())),
            Self::Header(name) => facts.request.header(name),
            Self::Claim { path, .. } => {
                let claim = facts.claims?.find(path)?;
                Some(claim.as_str().map_or_else(|| Cow::Owned(claim.to_string()), Cow::Borrowed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use serde_json::json;

    use super::*;
    use crate::fixtures::{Asked, Client, origin};
    use crate::{Claims, Operation, Pattern};

    fn limit(key: Vec<LimitKey>) -> RateLimit {
        let one = NonZeroU32::MIN;
        RateLimit {
            policy: PolicyKey { namespace: "shop".into(), name: "limits".into() },
            name: "all".into(),
            when: HttpAuthorizationRule::default(),
            key,
            counter: LimitCounter::Local(Rate { requests: one, per: Duration::from_secs(1), burst: one }),
            dry_run: false,
            told: true,
            resource_exhausted: false,
        }
    }

    #[test]
    fn a_limit_is_about_what_it_is_attached_to() {
        let route = |rule: Option<&str>| LimitScope::Route {
            object: "VirtualService shop/reviews".into(),
            rule: rule.map(Into::into),
        };
        let other = LimitScope::Route { object: "VirtualService shop/other".into(), rule: None };
        for (scopes, expected) in [
            // Port 80 by no rule, port 80 by the rule `pay`, port 81 by the rule `see`.
            (vec![], [false, false, false]),
            (vec![LimitScope::All], [true, true, true]),
            (vec![LimitScope::Port(80)], [true, true, false]),
            (vec![route(None)], [false, true, true]),
            (vec![route(Some("pay"))], [false, true, false]),
            (vec![route(Some("pay")), LimitScope::Port(81)], [false, true, true]),
            (vec![other], [false, false, false]),
        ] {
            let shown = format!("{scopes:?}");
            let attached = AttachedLimit { limit: Arc::new(limit(Vec::new())), scopes };
            let (pay, see) = (origin("pay"), origin("see"));
            let found =
                [(80, None), (80, Some(&pay)), (81, Some(&see))].map(|(port, rule)| attached.is_for(port, rule));
            assert_eq!(found, expected, "{shown}");
        }
    }

    #[test]
    fn requests_count_together_by_what_they_have_in_common() {
        let claims = json!({"sub": "me", "plan": {"level": 3}});
        let claims = Claims::new(claims.as_object().unwrap().clone(), &[]);
        let (asked, client) = (Asked::of_path("/a").with("x-user", "joe"), Client::default());
        let (bare, nobody) = (Asked::of_path("/b"), Client { identity: None, ..Client::default() });
        let claim = |name: &str| LimitKey::Claim { path: name.split('.').map(Into::into).collect(), name: name.into() };
        for (key, name, value, without) in [
            (LimitKey::ClientIdentity, "client_identity", "spiffe://td/ns/shop/sa/cart", None),
            (LimitKey::ClientIp, "remote_address", "10.1.0.7", Some("10.1.0.7")),
            (LimitKey::Path, "path", "/a", Some("/b")),
            (LimitKey::Method, "method", "GET", Some("GET")),
            (LimitKey::Header(HeaderName::from_static("x-user")), "x-user", "joe", None),
            (claim("sub"), "sub", "me", None),
            (claim("plan.level"), "plan.level", "3", None),
        ] {
            let with = HttpFacts { request: &asked.view(), client: &client.view(), claims: Some(&claims) };
            let lacking = HttpFacts { request: &bare.view(), client: &nobody.view(), claims: None };
            assert_eq!((key.name(), key.value(&with).as_deref()), (name, Some(value)));
            assert_eq!(key.value(&lacking).as_deref(), without, "{name}");
            let limit = limit(vec![key]);
            let hash = |facts: &HttpFacts<'_>| {
                let mut state = DefaultHasher::new();
                limit.hash_key(facts, &mut state);
                state.finish()
            };
            assert_eq!(hash(&with) == hash(&lacking), without == Some(value), "{name}");
        }
    }

    #[test]
    fn a_limit_is_about_requests_that_match() {
        let posts = Operation { methods: vec![Pattern::Exact("POST".into())], ..Operation::default() };
        let when = HttpAuthorizationRule { to: vec![posts], ..HttpAuthorizationRule::default() };
        let client = Client::default();
        let asked = Asked::default();
        let facts = HttpFacts { request: &asked.view(), client: &client.view(), claims: None };
        assert!(limit(Vec::new()).concerns(&facts));
        assert!(!RateLimit { when, ..limit(Vec::new()) }.concerns(&facts));
    }
}
