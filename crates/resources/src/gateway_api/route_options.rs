//! How long requests may take, when they are tried again, and what is a session.

use serde::Deserialize;

use crate::GatewayDuration;

/// How long requests may take; zero: as long as they like.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTimeouts {
    /// A request, all tries together.
    pub request: Option<GatewayDuration>,
    /// Each try.
    pub backend_request: Option<GatewayDuration>,
}

/// When requests are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteRetry {
    /// The statuses that are worth another try.
    pub codes: Vec<u16>,
    /// How many more tries there are at most.
    pub attempts: Option<u32>,
    /// The least time between tries.
    pub backoff: Option<GatewayDuration>,
}

/// Requests of one session go to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionPersistence {
    /// What the cookie or header is called.
    pub session_name: Option<String>,
    /// How long a session lasts at most.
    pub absolute_timeout: Option<GatewayDuration>,
    /// How long it lasts without a request.
    pub idle_timeout: Option<GatewayDuration>,
    /// By what it is known.
    #[serde(rename = "type")]
    pub kind: SessionPersistenceType,
    /// Of the cookie.
    pub cookie_config: Option<SessionCookie>,
}

/// By what a session is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum SessionPersistenceType {
    /// A cookie.
    #[default]
    Cookie,
    /// A header.
    Header,
}

/// The cookie of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionCookie {
    /// How long a browser keeps it.
    pub lifetime_type: CookieLifetime,
}

/// How long a browser keeps a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum CookieLifetime {
    /// Until it is closed.
    #[default]
    Session,
    /// As long as the session lasts at most.
    Permanent,
}
