//! AuthorizationPolicy as a waypoint judges it: by the request.

mod claims;
mod decision;
mod matching;
mod template;

pub use claims::Claims;
pub use decision::{
    Consented, HttpDecision, HttpPermit, HttpRehearsal, PolicyMatch, Question, ToAsk, audits, decide, rehearse, to_ask,
};
pub use matching::HttpFacts;
pub(crate) use matching::rule_matches;
pub use template::PathTemplateError;

use std::sync::Arc;
use std::time::Duration;

use ambit_model::{PolicyKey, ServiceKey};
use http::HeaderName;
use ipnet::IpNet;

use crate::Pattern;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAuthorization {
    /// Its name.
    pub key: PolicyKey,
    /// What a match means.
    pub action: HttpAuthorizationAction,
    /// ORed. Without any nothing matches.
    pub rules: Vec<HttpAuthorizationRule>,
    /// Judged and logged, never enforced.
    pub dry_run: bool,
}

/// What a match means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAuthorizationAction {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// Written to the log.
    Audit,
    /// As an external authorizer decides.
    Custom(Arc<ExternalAuthorizer>),
}

/// `from`, `to` and `when`, ANDed; each empty: matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpAuthorizationRule {
    /// ORed.
    pub from: Vec<Source>,
    /// ORed.
    pub to: Vec<Operation>,
    /// ANDed.
    pub when: Vec<Condition>,
}

/// Who asks: fields ANDed, the values of a field ORed, `not_` excludes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of the API, one by one")]
pub struct Source {
    pub principals: Vec<Pattern>,
    pub not_principals: Vec<Pattern>,
    pub request_principals: Vec<Pattern>,
    pub not_request_principals: Vec<Pattern>,
    pub namespaces: Vec<Pattern>,
    pub not_namespaces: Vec<Pattern>,
    /// `namespace/name`.
    pub service_accounts: Vec<Pattern>,
    pub not_service_accounts: Vec<Pattern>,
    pub trust_domains: Vec<Pattern>,
    pub not_trust_domains: Vec<Pattern>,
    /// The client's address, as its agent vouches for it.
    pub ip_blocks: Vec<IpNet>,
    pub not_ip_blocks: Vec<IpNet>,
    /// The original client's, by X-Forwarded-For as far as proxies are trusted.
    pub remote_ip_blocks: Vec<IpNet>,
    pub not_remote_ip_blocks: Vec<IpNet>,
}

/// What is asked for: fields ANDed, the values of a field ORed, `not_` excludes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of the API, one by one")]
pub struct Operation {
    /// Compared in lower case; a port in the request's authority counts only where the pattern has one.
    pub hosts: Vec<Pattern>,
    pub not_hosts: Vec<Pattern>,
    pub ports: Vec<u16>,
    pub not_ports: Vec<u16>,
    pub methods: Vec<Pattern>,
    pub not_methods: Vec<Pattern>,
    pub paths: Vec<PathPattern>,
    pub not_paths: Vec<PathPattern>,
}

/// What a path must look like in a policy; it is compared as normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// With `*` at one end at most.
    Text(Pattern),
    /// With `{*}` for one element and `{**}` for any number.
    Template(PathTemplate),
}

/// A path with `{*}` for one element and `{**}` for any number of them ([`PathTemplate::parse`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(pub Arc<[TemplatePart]>);

/// An element of a template, between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// This element.
    Text(Arc<str>),
    /// Any one element that is not empty.
    One,
    /// One element or more, which may be empty: `/a/{**}` matches `/a/`, but not `/a`. At most one in a template.
    Any,
}

/// An attribute, with the values it may have (ORed) and those it may not. An attribute that is absent matches no
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the keys are those of the API, one by one")]
pub enum Condition {
    /// `request.headers[name]`.
    Header { name: HeaderName, values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `request.auth.principal`: `issuer/subject`.
    RequestPrincipal { values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `request.auth.audiences`.
    Audiences { values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `request.auth.presenter`: the claim `azp`.
    Presenter { values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `request.auth.claims[a][b]`: the claim, or one of a list.
    Claim { path: Arc<[Arc<str>]>, values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `source.ip`.
    SourceIp { values: Vec<IpNet>, not_values: Vec<IpNet> },
    /// `remote.ip`.
    RemoteIp { values: Vec<IpNet>, not_values: Vec<IpNet> },
    /// `source.namespace`.
    SourceNamespace { values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `source.principal`.
    SourcePrincipal { values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `source.serviceAccount`.
    SourceServiceAccount { values: Vec<Pattern>, not_values: Vec<Pattern> },
    /// `destination.ip`: of the address asked for.
    DestinationIp { values: Vec<IpNet>, not_values: Vec<IpNet> },
    /// `destination.port`.
    DestinationPort { values: Vec<u16>, not_values: Vec<u16> },
    /// `connection.sni`.
    ServerName { values: Vec<Pattern>, not_values: Vec<Pattern> },
}

/// Who decides for CUSTOM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAuthorizer {
    /// Its name in the mesh configuration.
    pub name: Arc<str>,
    /// Where it is.
    pub service: ServiceKey,
    /// Its port.
    pub port: u16,
    /// Longest wait; the mesh's default is 600 s, as the field's.
    pub timeout: Duration,
    /// Whether requests pass when it cannot be asked.
    pub fail_open: bool,
    /// The answer when it cannot be asked and does not fail open.
    pub status_on_error: http::StatusCode,
    /// How much of the body it sees.
    pub body: Option<BodyForAuthorizer>,
    /// How it is spoken to.
    pub protocol: AuthorizerProtocol,
}

/// How much of a body an authorizer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyForAuthorizer {
    /// Most bytes.
    pub max_bytes: u32,
    /// Whether a longer one is cut (else 413).
    pub allow_partial: bool,
    /// Whether it is sent as bytes (gRPC only).
    pub as_bytes: bool,
}

/// How an authorizer is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizerProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc,
    /// An HTTP request; 200 allows.
    Http(HttpCheck),
}

/// The request that is sent to an authorizer of HTTP, and what of its answer counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpCheck {
    /// In front of the request's path.
    pub path_prefix: Arc<str>,
    /// Headers of the request it sees: names, beside the ones always sent.
    pub include_request_headers: Vec<Pattern>,
    /// Headers added.
    pub additional_headers: Vec<(HeaderName, Arc<str>)>,
    /// Headers of its answer that go to the backend.
    pub to_upstream: Vec<Pattern>,
    /// Headers of its refusal that go to the client.
    pub to_client_on_deny: Vec<Pattern>,
    /// Headers of its consent that go to the client.
    pub to_client_on_allow: Vec<Pattern>,
}

#[cfg(test)]
mod tests;
