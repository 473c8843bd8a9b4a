//! What a waypoint does with connections and requests, as data, and the decisions made by it. Pure: no
//! I/O, no clock, no randomness of its own.
//!
//! Both API families, VirtualService and the Gateway API's routes, become the same [`HttpRule`]s; what the
//! fields of the users' objects mean is known in `ambit-compile` alone.

mod action;
mod authority;
mod authorization;
mod conditions;
mod config;
mod connection_match;
mod cors;
mod credentials;
mod explain;
#[cfg(test)]
mod fixtures;
mod forwarded;
pub mod grpc;
pub mod head;
mod headers;
mod http_match;
mod jwt;
mod origin;
mod path;
mod pattern;
mod rate_limit;
mod redirect;
mod request;
mod retry_on;
mod rewrite;
mod route;
pub mod sniff;
mod table;
pub mod telemetry;
mod traffic;
mod weights;

pub use action::{
    Abort, AbortWith, Backend, BackendRef, Cors, Delay, DirectResponse, Fault, Forward, Fraction, HeaderChanges,
    HttpAction, Mirror, PathRewrite, Redirect, RedirectPort, Retry, RetryOn, Rewrite,
};
pub use authorization::{
    AuthorizerProtocol, BodyForAuthorizer, Claims, Condition, Consented, ExternalAuthorizer, HttpAuthorization,
    HttpAuthorizationAction, HttpAuthorizationRule, HttpCheck, HttpDecision, HttpFacts, HttpPermit, HttpRehearsal,
    Operation, PathPattern, PathTemplate, PathTemplateError, PolicyMatch, Question, Source, TemplatePart, ToAsk,
    audits, decide, rehearse, to_ask,
};
pub use conditions::Miss;
pub use config::{L7Config, ServiceRules};
pub use connection_match::{decide_tcp, decide_tls};
pub use cors::Preflight;
pub use credentials::{Credential, CredentialError, CredentialKey, CredentialKind, Given};
pub use explain::{Explanation, Verdict, explain_http, explain_tcp, explain_tls};
pub use forwarded::{BadForwardedFor, ForwardedCertificate, Topology, append_hop};
pub use headers::is_managed;
pub use http_match::{HeaderMatch, HttpMatch, PathMatch, QueryMatch};
pub use jwt::{JwtHeader, JwtRule, KeySource};
pub use origin::Origin;
pub use path::{PathError, PathNormalization, normalise};
pub use pattern::{Pattern, Regex, RegexError};
pub use rate_limit::{AttachedLimit, GlobalLimit, LimitCounter, LimitKey, LimitScope, LimitService, Rate, RateLimit};
pub use request::{ClientView, ConnectionView, RequestView};
pub use retry_on::{FailureKind, RetryOnError};
pub use route::{HttpRule, L4Match, SourceMatch, TcpRule, TlsMatch, TlsRule, Weighted};
pub use table::{HttpTable, Matched, MatchedPath};
pub use traffic::{
    Aggression, ConnectionPool, ConsistentHash, Cookie, Credentials, Failover, HashKey, HashRing, HttpPool, Keepalive,
    LoadBalancing, Locality, LocalityBalancing, LocalitySplit, Nearness, OutlierDetection, ProxyProtocol, RetryBudget,
    Subset, TcpPool, Tls, TlsMode, Traffic, TrafficPolicy, UpgradePolicy, Warmup,
};
pub use weights::choose;
