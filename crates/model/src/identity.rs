//! SPIFFE identities: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The scheme of an identity URI. Policies compare principals without it.
pub const SPIFFE_SCHEME: &str = "spiffe://";

/// Longest accepted SPIFFE id in bytes (SPIFFE-ID §2.3 asks implementations to support 2048).
const MAX_LEN: usize = 2048;

/// Who a workload is: its service account, in a namespace, in a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    trust_domain: Arc<str>,
    namespace: Arc<str>,
    service_account: Arc<str>,
}

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is not of the form below.
    #[error("{0:?} is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    Form(String),
    /// It is longer than any identity may be.
    #[error("an identity of {0} bytes is longer than {MAX_LEN}")]
    TooLong(usize),
}

impl Identity {
    /// Makes the identity of a service account. The parts come from Kubernetes names, which cannot
    /// hold a slash; use [`str::parse`] for anything that comes from a peer.
    #[must_use]
    pub fn new(
        trust_domain: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
        account: impl Into<Arc<str>>,
    ) -> Self {
        Self { trust_domain: trust_domain.into(), namespace: namespace.into(), service_account: account.into() }
    }
    /// The trust domain, `cluster.local` by default.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }
    /// The Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
    /// The Kubernetes service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        &self.service_account
    }
    /// The identity as policies write it: without the scheme.
    #[must_use]
    pub fn principal(&self) -> String {
        format!("{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SPIFFE_SCHEME}{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LEN {
            return Err(IdentityError::TooLong(text.len()));
        }
        let form = || IdentityError::Form(text.to_owned());
        let mut parts = text.strip_prefix(SPIFFE_SCHEME).ok_or_else(form)?.split('/');
        let (Some(trust_domain), Some("ns"), Some(namespace), Some("sa"), Some(account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        if [trust_domain, namespace, account].iter().any(|part| !is_segment(part)) {
            return Err(form());
        }
        Ok(Self::new(trust_domain, namespace, account))
    }
}

/// SPIFFE allows letters, digits, `.`, `-` and `_` in a segment.
fn is_segment(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let id = Identity::new("cluster.local", "shop", "cart");
        assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(id.to_string().parse::<Identity>().unwrap(), id);
        assert_eq!(id.principal(), "cluster.local/ns/shop/sa/cart");
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            "spiffe://",
            "cluster.local/ns/a/sa/b",
            "spiffe://cluster.local/ns/a/sa/",
            "spiffe://cluster.local/ns//sa/b",
            "spiffe://cluster.local/ns/a/sa/b/c",
            "spiffe://cluster.local/ns/a/sb/b",
            "spiffe://cluster local/ns/a/sa/b",
            "SPIFFE://cluster.local/ns/a/sa/b",
            "spiffe://cluster.local/ns/a/sa/b?x",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad:?} was accepted");
        }
        assert!(format!("spiffe://{}/ns/a/sa/b", "x".repeat(3000)).parse::<Identity>().is_err());
    }
}
