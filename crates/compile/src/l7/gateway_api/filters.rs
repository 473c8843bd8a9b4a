//! What is done to requests and responses.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::{Cors, Fraction, HeaderChanges, Mirror, PathRewrite, Redirect, RedirectPort, Rewrite, is_managed};
use ambit_resources::gateway_api::{
    FilterType, HeaderModifier, HttpHeader, LocalReference, PathModifier, PathModifierType, RequestMirror,
    RequestRedirect, RouteFilter, UrlRewrite,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::cors::cors;
use super::problem::RouteProblem;
use super::references::Reference;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::{header_name, port};

/// What is done to requests of a rule, or to those that go to one backend.
#[derive(Debug, Default)]
pub(super) struct Filters {
    pub(super) request: HeaderChanges,
    pub(super) response: HeaderChanges,
    pub(super) rewrite: Rewrite,
    pub(super) redirect: Option<Redirect>,
    pub(super) cors: Option<Cors>,
    pub(super) mirrors: Vec<Mirror>,
    /// Where the mirrors lead, one by one.
    pub(super) mirrored: Vec<Reference>,
    /// What we cannot do, so that nothing may be done at all.
    pub(super) unsupported: Option<RouteProblem>,
    /// Whether a prefix is replaced, which only a match of a prefix can give.
    pub(super) replaces_prefix: bool,
}

/// Where filters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Rule,
    Backend,
}

impl Filters {
    pub(super) fn of(written: &[RouteFilter], place: Place, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let mut filters = Self::default();
        let mut seen = BTreeSet::new();
        for (i, written) in written.iter().enumerate() {
            let at = at.index(i);
            let word = word(written.kind);
            let repeats = matches!(written.kind, FilterType::RequestMirror | FilterType::ExtensionRef);
            if !repeats && !seen.insert(word) {
                cx.error(&at.field("type"), L7Problem::Twice { name: word.to_owned() });
            }
            if filters.add(written, place, &at, cx).is_none() {
                cx.error(&at, L7Problem::Required { what: "the field that its type names" });
            }
        }
        if filters.redirect.is_some() && filters.rewrite != Rewrite::default() {
            cx.error(at, L7Problem::Exclusive { other: "URLRewrite and RequestRedirect" });
        }
        filters
    }

    /// Adds a filter; nothing where what its type names is not there.
    fn add(&mut self, written: &RouteFilter, place: Place, at: &At<'_>, cx: &mut Cx<'_>) -> Option<()> {
        match written.kind {
            FilterType::Absent => return None,
            FilterType::RequestHeaderModifier => {
                let modifier = written.request_header_modifier.as_ref()?;
                let (changes, host) = changes(modifier, true, &at.field("requestHeaderModifier"), cx);
                self.request = changes;
                if self.rewrite.authority.is_none() {
                    self.rewrite.authority = host;
                }
            }
            FilterType::ResponseHeaderModifier => {
                let modifier = written.response_header_modifier.as_ref()?;
                self.response = changes(modifier, false, &at.field("responseHeaderModifier"), cx).0;
            }
            FilterType::RequestMirror => self.mirror(written.request_mirror.as_ref()?, &at.field("requestMirror"), cx),
            FilterType::UrlRewrite => self.rewrite(written.url_rewrite.as_ref()?, &at.field("urlRewrite"), cx),
            FilterType::RequestRedirect if place == Place::Rule => {
                self.redirect(written.request_redirect.as_ref()?, &at.field("requestRedirect"), cx);
            }
            FilterType::Cors if place == Place::Rule => {
                self.cors = Some(cors(written.cors.as_ref()?, &at.field("cors"), cx));
            }
            FilterType::ExtensionRef => {
                let LocalReference { group, kind, .. } = written.extension_ref.as_ref()?;
                let problem = RouteProblem::UnknownKind { group: group.as_str().into(), kind: kind.as_str().into() };
                cx.warning(&at.field("extensionRef"), problem.clone().into());
                self.unsupported.get_or_insert(problem);
            }
            FilterType::RequestRedirect | FilterType::Cors | FilterType::ExternalAuth => {
                let place = if place == Place::Rule { "at a rule" } else { "at a backend" };
                let problem = RouteProblem::UnsupportedFilter { filter: word(written.kind), place };
                cx.warning(at, problem.clone().into());
                self.unsupported.get_or_insert(problem);
            }
        }
        Some(())
    }

    fn mirror(&mut self, written: &RequestMirror, at: &At<'_>, cx: &mut Cx<'_>) {
        let reference = Reference::of(&written.backend_ref, &at.field("backendRef"), cx);
        let fraction = fraction(written, at, cx);
        self.mirrors.push(Mirror { backend: reference.invalid(StatusCode::INTERNAL_SERVER_ERROR), fraction });
        self.mirrored.push(reference);
    }

    fn rewrite(&mut self, written: &UrlRewrite, at: &At<'_>, cx: &mut Cx<'_>) {
        if let Some(hostname) = &written.hostname {
            self.rewrite.authority = Some(hostname.as_str().into());
        }
        self.rewrite.path = self.path(written.path.as_ref(), &at.field("path"), cx);
    }

    /// Where the client is sent. Without a port: to the scheme's own if there is a scheme, else to the one asked.
    fn redirect(&mut self, written: &RequestRedirect, at: &At<'_>, cx: &mut Cx<'_>) {
        let RequestRedirect { scheme, hostname, path, port: number, status_code } = written;
        if let Some(scheme) = scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
            let value = scheme.to_owned();
            cx.error(&at.field("scheme"), L7Problem::Value { value, expected: "http or https" });
        }
        let status = status_code.unwrap_or(302);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let value = status.to_string();
            cx.error(&at.field("statusCode"), L7Problem::Value { value, expected: "301, 302, 303, 307 or 308" });
        }
        let number = port(*number, &at.field("port"), cx).map(RedirectPort::Number);
        let derived = if scheme.is_some() { RedirectPort::OfScheme } else { RedirectPort::FromRequest };
        self.redirect = Some(Redirect {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND),
            scheme: scheme.as_deref().map(Arc::from),
            host: hostname.as_deref().map(Arc::from),
            port: number.unwrap_or(derived),
            path: self.path(path.as_ref(), &at.field("path"), cx),
        });
    }

    fn path(&mut self, written: Option<&PathModifier>, at: &At<'_>, cx: &mut Cx<'_>) -> Option<PathRewrite> {
        let written = written?;
        let (field, text) = match written.kind {
            PathModifierType::ReplaceFullPath => ("replaceFullPath", &written.replace_full_path),
            PathModifierType::ReplacePrefixMatch => ("replacePrefixMatch", &written.replace_prefix_match),
        };
        let Some(text) = text else {
            cx.error(&at.field(field), L7Problem::Required { what: "the path that its type asks for" });
            return None;
        };
        let text: Arc<str> = text.as_str().into();
        Some(match written.kind {
            PathModifierType::ReplaceFullPath => PathRewrite::Full(text),
            PathModifierType::ReplacePrefixMatch => {
                self.replaces_prefix = true;
                PathRewrite::Prefix(text)
            }
        })
    }
}

/// A filter's type, as users write it.
fn word(kind: FilterType) -> &'static str {
    match kind {
        FilterType::Absent => "",
        FilterType::RequestHeaderModifier => "RequestHeaderModifier",
        FilterType::ResponseHeaderModifier => "ResponseHeaderModifier",
        FilterType::RequestMirror => "RequestMirror",
        FilterType::RequestRedirect => "RequestRedirect",
        FilterType::UrlRewrite => "URLRewrite",
        FilterType::Cors => "CORS",
        FilterType::ExternalAuth => "ExternalAuth",
        FilterType::ExtensionRef => "ExtensionRef",
    }
}

/// How many requests are copied.
fn fraction(written: &RequestMirror, at: &At<'_>, cx: &mut Cx<'_>) -> Fraction {
    if written.percent.is_some() && written.fraction.is_some() {
        cx.error(&at.field("fraction"), L7Problem::Exclusive { other: "percent" });
    }
    let (numerator, denominator) = match (&written.percent, &written.fraction) {
        (Some(percent), _) => (*percent, 100),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator),
        (None, None) => return Fraction::ALL,
    };
    let millionths = (u64::from(numerator) * 1_000_000).checked_div(denominator.into());
    let Some(millionths) = millionths.filter(|parts| *parts <= 1_000_000) else {
        let (value, most) = (numerator.into(), denominator.into());
        cx.error(at, L7Problem::Range { value, least: 0, most });
        return Fraction::of_million(0);
    };
    Fraction::of_million(u32::try_from(millionths).unwrap_or_default())
}

/// What is changed in headers; and the authority, which a request's `Host` is.
fn changes(
    written: &HeaderModifier,
    of_request: bool,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> (HeaderChanges, Option<Arc<str>>) {
    let is_host = |header: &&HttpHeader| of_request && header.name.eq_ignore_ascii_case(header::HOST.as_str());
    let host = written.set.iter().find(is_host).map(|header| header.value.as_str().into());
    let set = written.set.iter().enumerate().filter(|(_, header)| !is_host(header));
    let set = set.filter_map(|(i, header)| pair(header, &at.field("set").index(i), cx)).collect();
    let add = written.add.iter().enumerate();
    let add = add.filter_map(|(i, header)| pair(header, &at.field("add").index(i), cx)).collect();
    let remove = written.remove.iter().enumerate();
    let remove = remove.filter_map(|(i, name)| changeable(name, &at.field("remove").index(i), cx)).collect();
    (HeaderChanges { set, add, remove }, host)
}

fn pair(written: &HttpHeader, at: &At<'_>, cx: &mut Cx<'_>) -> Option<(HeaderName, HeaderValue)> {
    let name = changeable(&written.name, &at.field("name"), cx);
    let value = HeaderValue::from_str(&written.value).ok();
    if value.is_none() {
        cx.error(&at.field("value"), L7Problem::HeaderValue { value: written.value.clone() });
    }
    name.zip(value)
}

fn changeable(name: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HeaderName> {
    let found = header_name(name, at, cx)?;
    if is_managed(&found) {
        let reason = "it says where a message ends, how its connection is used, or for whom it is";
        cx.error(at, L7Problem::ProtectedHeader { name: name.to_owned(), reason });
        return None;
    }
    Some(found)
}
