//! What a request wants of a choice.

use std::net::SocketAddr;

use crate::{EndpointId, Labels, Place};

/// What a request wants of a choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// [`hash_key`](crate::hash_key) of what the policy's `HashKey` names; none where the request does not
    /// have it: then chance decides. Only consistent hashing looks at it.
    pub hash: Option<u64>,
    /// Who asks.
    pub client: Client<'a>,
    /// Endpoints that have been tried for this request; others come first.
    pub tried: &'a [EndpointId],
    /// Whether, once some were tried, endpoints of other places come first (`retryRemoteLocalities`).
    pub remote_localities: bool,
    /// The address the client asked for, where it is an endpoint's own and not the service's. Only
    /// PASSTHROUGH looks at it, and goes there without asking whether it is an endpoint's: who may ask for
    /// which address is the caller's to know. Without one PASSTHROUGH is any endpoint, as the service's
    /// address would be without a mesh.
    pub asked: Option<SocketAddr>,
}

/// Who asks. Only locality looks at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client<'a> {
    /// Where it is; none where that is not known: then locality does not count.
    pub place: Option<&'a Place>,
    /// Its node; empty where that is not known.
    pub node: &'a str,
    /// Its labels, for `failoverPriority`. See [`EndpointSpec::labels`](crate::EndpointSpec::labels).
    pub labels: Option<&'a Labels>,
}
