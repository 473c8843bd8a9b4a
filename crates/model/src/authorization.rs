//! Authorization policies as the node agent judges them: compiled, L4 only. The shape and its
//! meaning are those of `istio.security.Authorization`:
//! rules are ORed, a rule's clauses ANDed, a clause's matches ORed, a match's fields ANDed, a field's
//! values ORed, `not_*` excludes. A policy without rules never matches; an empty match never
//! matches; an empty clause matches.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

/// A policy's name: `<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl PolicyKey {
    /// What the names of policies begin with that stand for a PeerAuthentication. An underscore is in no
    /// Kubernetes name, so that no user's policy can be taken for one of these.
    pub const PEER_AUTHENTICATION_PREFIX: &str = "ambit_";

    /// What the names of policies begin with that keep everybody but a waypoint from what is behind it.
    pub const WAYPOINT_PREFIX: &str = "converted_waypoint_";

    /// Whether the policy keeps everybody but a waypoint from what is behind it. Such a policy is about who
    /// is at the other end of the tunnel, and not about the client that one vouches for.
    #[must_use]
    pub fn is_of_waypoint(&self) -> bool {
        self.name.starts_with(Self::WAYPOINT_PREFIX)
    }

    /// Whether the policy stands for a PeerAuthentication, of our control plane's or of the field's.
    #[must_use]
    pub fn is_of_peer_authentication(&self) -> bool {
        const OF_THE_FIELD: [&str; 2] = ["converted_peer_authentication_", "istio_converted_static_strict"];
        let begins = |prefix: &&str| self.name.starts_with(prefix);
        [Self::PEER_AUTHENTICATION_PREFIX].iter().chain(&OF_THE_FIELD).any(begins)
    }
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which workloads a policy applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every workload of the mesh.
    Global,
    /// Every workload of the policy's namespace.
    Namespace,
    /// The workloads that list it in their `authorization_policies`.
    WorkloadSelector,
}

/// What a match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A match allows.
    Allow,
    /// A match denies.
    Deny,
}

/// A compiled policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Its name.
    pub key: PolicyKey,
    /// Which workloads it applies to.
    pub scope: Scope,
    /// What a match means.
    pub action: Action,
    /// ORed.
    pub rules: Vec<Rule>,
    /// Judged and logged, never enforced.
    pub dry_run: bool,
}

/// Clauses, ANDed. A rule without clauses matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// ANDed.
    pub clauses: Vec<Clause>,
}

/// Matches, ORed. A clause without matches matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clause {
    /// ORed.
    pub matches: Vec<Match>,
}

/// Fields, ANDed; the values of a field, ORed. A match with no field set never matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Match {
    /// Source namespaces.
    pub namespaces: Vec<StringMatch>,
    /// Excluded source namespaces.
    pub not_namespaces: Vec<StringMatch>,
    /// Source service accounts, of any trust domain.
    pub service_accounts: Vec<ServiceAccountMatch>,
    /// Excluded source service accounts.
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    /// Source principals, without `spiffe://`.
    pub principals: Vec<StringMatch>,
    /// Excluded source principals.
    pub not_principals: Vec<StringMatch>,
    /// Source address blocks.
    pub source_ips: Vec<CidrMatch>,
    /// Excluded source address blocks.
    pub not_source_ips: Vec<CidrMatch>,
    /// Destination address blocks.
    pub destination_ips: Vec<CidrMatch>,
    /// Excluded destination address blocks.
    pub not_destination_ips: Vec<CidrMatch>,
    /// Destination ports (the workload's port, not the service's).
    pub destination_ports: Vec<u16>,
    /// Excluded destination ports.
    pub not_destination_ports: Vec<u16>,
}

/// An address block.
pub type CidrMatch = IpNet;

/// A service account, in a namespace, of any trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceAccountMatch {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Service account.
    pub service_account: Arc<str>,
}

/// How a text is compared. The users' notation: `*` presence, `x*` prefix, `*x` suffix, else exact.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StringMatch {
    /// The very text.
    Exact(Arc<str>),
    /// It begins so.
    Prefix(Arc<str>),
    /// It ends so.
    Suffix(Arc<str>),
    /// Any text that is not empty.
    Presence,
}

impl StringMatch {
    /// Reads the users' notation.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "*" {
            Self::Presence
        } else if let Some(prefix) = text.strip_suffix('*') {
            Self::Prefix(prefix.into())
        } else if let Some(suffix) = text.strip_prefix('*') {
            Self::Suffix(suffix.into())
        } else {
            Self::Exact(text.into())
        }
    }

    /// Whether `value` matches; an absent value is the empty text, which matches nothing but an
    /// exact empty text.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => &**text == value,
            Self::Prefix(prefix) => value.starts_with(&**prefix),
            Self::Suffix(suffix) => value.ends_with(&**suffix),
            Self::Presence => !value.is_empty(),
        }
    }
}
