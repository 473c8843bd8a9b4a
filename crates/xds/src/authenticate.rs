//! Who asks.

use std::future::Future;

use tonic::Status;
use tonic::metadata::MetadataMap;

/// Longest token looked at, in bytes: projected service-account tokens have about one thousand.
const MAX_TOKEN: usize = 16 << 10;

/// Says whose a token is.
pub trait Authenticator: Send + Sync + 'static {
    /// Says whose a token is.
    fn authenticate(&self, token: &str) -> impl Future<Output = Result<Caller, AuthError>> + Send;
}

/// A service account, and what else is known of who holds its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// The pod the token was made for.
    pub pod: Option<BoundPod>,
    /// The node whose agent this is; nothing for everybody else. Whoever has one is told what concerns that
    /// node, and may name as much as a whole mesh has: an authenticator says so of node agents only.
    pub node: Option<String>,
    /// The waypoint whose pod this is, as `namespace/name`; nothing for everybody else. It is told what concerns
    /// that waypoint.
    pub waypoint: Option<String>,
}

impl Caller {
    /// What some resources are for alone: the caller's node, or its waypoint, which has a slash in it.
    pub(crate) fn place(&self) -> Option<&str> {
        self.node.as_deref().or(self.waypoint.as_deref())
    }
}

/// A pod a token was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundPod {
    /// Its name.
    pub name: String,
    /// Its `metadata.uid`.
    pub uid: String,
}

/// Why nobody is known by a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not valid, or not for us.
    #[error("the token is refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Nobody could be asked. The caller may come back.
    #[error("tokens cannot be checked now: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Who sent a request, by its bearer token. The answer to those who are not known does not say why; the
/// log does.
///
/// # Errors
/// UNAUTHENTICATED without a valid token, UNAVAILABLE if tokens cannot be checked.
pub async fn caller(authenticator: &impl Authenticator, metadata: &MetadataMap) -> Result<Caller, Status> {
    let token = bearer(metadata).ok_or_else(|| Status::unauthenticated("no bearer token"))?;
    authenticator.authenticate(token).await.map_err(|error| match error {
        AuthError::Refused { .. } => {
            tracing::info!(%error, "request without a valid token");
            Status::unauthenticated("the token is refused")
        }
        AuthError::Unavailable { .. } => {
            tracing::warn!(%error, "request cannot be authenticated");
            Status::unavailable("tokens cannot be checked now")
        }
    })
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let mut values = metadata.get_all("authorization").iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let sound = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= MAX_TOKEN;
    (sound && values.next().is_none()).then_some(token)
}
