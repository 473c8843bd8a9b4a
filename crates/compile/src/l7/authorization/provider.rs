//! External authorizers, as the mesh configuration names them.

use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{AuthorizerProtocol, BodyForAuthorizer, ExternalAuthorizer, HttpCheck, Pattern};
use ambit_model::StringMatch;
use ambit_resources::mesh_config::{CheckedBody, GrpcAuthorizer, HttpAuthorizer};
use http::{HeaderValue, StatusCode};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::directory::Directory;
use crate::l7::hosts::full_names;
use crate::l7::text::header_name;

/// An authorizer whose service is not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorizer {
    /// The namespace of its service, where it is said.
    namespace: Option<Arc<str>>,
    /// What its host may mean.
    pub(crate) names: Vec<Arc<str>>,
    settings: ExternalAuthorizer,
}

/// What the two kinds of authorizers have in common.
struct Common<'a> {
    service: &'a str,
    port: u16,
    timeout: Option<ambit_resources::Duration>,
    fail_open: bool,
    status_on_error: &'a str,
    body: Option<&'a CheckedBody>,
}

impl Authorizer {
    pub(crate) fn http(name: &str, written: &HttpAuthorizer, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let common = Common {
            service: &written.service,
            port: written.port,
            timeout: written.timeout,
            fail_open: written.fail_open,
            status_on_error: &written.status_on_error,
            body: written.include_request_body_in_check.as_ref(),
        };
        let protocol = http_protocol(written, at, cx);
        Self::of(name, &common, protocol, at, cx)
    }

    pub(crate) fn grpc(name: &str, written: &GrpcAuthorizer, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let common = Common {
            service: &written.service,
            port: written.port,
            timeout: written.timeout,
            fail_open: written.fail_open,
            status_on_error: &written.status_on_error,
            body: written.include_request_body_in_check.as_ref(),
        };
        Self::of(name, &common, AuthorizerProtocol::Grpc, at, cx)
    }

    fn of(name: &str, common: &Common<'_>, protocol: AuthorizerProtocol, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        if common.service.is_empty() {
            cx.error(&at.field("service"), L7Problem::Required { what: "the host of a service" });
        }
        if common.port == 0 {
            cx.error(&at.field("port"), L7Problem::Required { what: "the number of a port" });
        }
        let (namespace, host) = match common.service.split_once('/') {
            Some((namespace, host)) => (Some(Arc::from(namespace)), host),
            None => (None, common.service),
        };
        let names = full_names(host, namespace.as_ref().unwrap_or(cx.namespace()), &cx.options.cluster_domain);
        let settings = ExternalAuthorizer {
            name: name.into(),
            service: ambit_model::ServiceKey { namespace: "".into(), hostname: host.into() },
            port: common.port,
            timeout: common.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
            fail_open: common.fail_open,
            status_on_error: status_on_error(common.status_on_error, &at.field("statusOnError"), cx),
            body: common.body.map(|body| BodyForAuthorizer {
                max_bytes: body.max_request_bytes,
                allow_partial: body.allow_partial_message,
                as_bytes: body.pack_as_bytes,
            }),
            protocol,
        };
        Self { namespace, names, settings }
    }

    /// The authorizer with its service; the problem where that is not there: it cannot be asked then.
    pub(crate) fn look_up(&self, directory: &Directory) -> (ExternalAuthorizer, Option<L7Problem>) {
        let mut found = self.settings.clone();
        let prefer = self.namespace.as_deref().map_or_else(Vec::new, |namespace| vec![namespace]);
        match directory.find(&self.names, &prefer) {
            Some(service) => {
                found.service = service.key.clone();
                (found, None)
            }
            None => {
                let host = found.service.hostname.to_string();
                (found, Some(L7Problem::NoProviderService { host }))
            }
        }
    }
}

/// The field's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

fn status_on_error(written: &str, at: &At<'_>, cx: &mut Cx<'_>) -> StatusCode {
    if written.is_empty() {
        return StatusCode::FORBIDDEN;
    }
    let found = written.parse().ok().filter(|code| (400..=599).contains(code));
    found.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_else(|| {
        cx.error(at, L7Problem::Value { value: written.to_owned(), expected: "a status from 400 to 599" });
        StatusCode::FORBIDDEN
    })
}

fn http_protocol(written: &HttpAuthorizer, at: &At<'_>, cx: &mut Cx<'_>) -> AuthorizerProtocol {
    let old = &written.include_headers_in_check;
    let new = &written.include_request_headers_in_check;
    let patterns = |names: &[String]| names.iter().map(|name| pattern(name)).collect::<Vec<_>>();
    let additional = written.include_additional_headers_in_check.iter().filter_map(|(name, value)| {
        let list = at.field("includeAdditionalHeadersInCheck");
        let name = header_name(name, &list.field(name), cx)?;
        if HeaderValue::from_str(value).is_err() {
            cx.error(&list.field(name.as_str()), L7Problem::HeaderValue { value: value.clone() });
        }
        Some((name, Arc::from(value.as_str())))
    });
    AuthorizerProtocol::Http(HttpCheck {
        path_prefix: written.path_prefix.as_str().into(),
        additional_headers: additional.collect(),
        include_request_headers: patterns(if new.is_empty() { old } else { new }),
        to_upstream: patterns(&written.headers_to_upstream_on_allow),
        to_client_on_deny: patterns(&written.headers_to_downstream_on_deny),
        to_client_on_allow: patterns(&written.headers_to_downstream_on_allow),
    })
}

/// A header's name, with or without a star at one end; names are compared in lower case.
fn pattern(name: &str) -> Pattern {
    match StringMatch::parse(&name.to_ascii_lowercase()) {
        StringMatch::Exact(text) => Pattern::Exact(text),
        StringMatch::Prefix(text) => Pattern::Prefix(text),
        StringMatch::Suffix(text) => Pattern::Suffix(text),
        StringMatch::Presence => Pattern::Present,
    }
}
