//! By HTTP: the authorizer is sent the request's head, and 200 is consent.

use ambit_l7::{ExternalAuthorizer, HttpCheck, Pattern, is_managed};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

use super::change::{How, is_removable};
use super::{AskError, Asked, Change, Consent, Denial, PARTIAL_BODY, Seen, Verdict, callee, partial};
use crate::body::Body;
use crate::callee::CallError;
use crate::errand::Answer;
use crate::plan::Speak;

/// Names of headers, with commas between, that the backend is not to see.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

pub(super) async fn ask(
    authorizer: &ExternalAuthorizer,
    http: &HttpCheck,
    asked: Asked<'_>,
    seen: &Seen,
) -> Result<Verdict, AskError> {
    let question = question(authorizer, http, asked, seen)?;
    let answer = callee(authorizer).put(asked.worker, asked.in_force, Speak::Http1, question).await?;
    verdict(http, answer)
}

fn question(
    authorizer: &ExternalAuthorizer,
    http: &HttpCheck,
    asked: Asked<'_>,
    seen: &Seen,
) -> Result<Request<Body>, CallError> {
    let head = &asked.head.parts;
    let authority = match asked.head.authority.as_str() {
        "" => &*authorizer.service.hostname,
        authority => authority,
    };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("http://{authority}{}{path}", http.path_prefix);
    let mut question = Request::builder().method(head.method.clone()).uri(uri).body(Body::full(seen.bytes.clone()))?;
    let headers = question.headers_mut();
    let wanted = |name: &HeaderName| *name == AUTHORIZATION || names(&http.include_request_headers, name);
    for (name, value) in head.headers.iter().filter(|(name, _)| wanted(name) && !is_managed(name)) {
        headers.append(name, value.clone());
    }
    for (name, value) in &http.additional_headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(seen.bytes.len()));
    if authorizer.body.is_some() {
        headers.insert(PARTIAL_BODY, partial(seen));
    }
    Ok(question)
}

/// A server that fails has not decided anything.
pub(super) fn verdict(http: &HttpCheck, answer: Answer) -> Result<Verdict, AskError> {
    let status = answer.head.status;
    let headers = &answer.head.headers;
    if status.is_server_error() {
        return Err(CallError::Status(status).into());
    }
    if status == StatusCode::OK {
        return Ok(Ok(Consent {
            changes: chosen(headers, How::Overwrite, |name| names(&http.to_upstream, name)),
            remove: removed(headers),
            to_client: chosen(headers, How::Append, |name| names(&http.to_client_on_allow, name)),
        }));
    }
    let all = http.to_client_on_deny.is_empty();
    let always = |name: &HeaderName| *name == WWW_AUTHENTICATE || *name == LOCATION;
    let headers = chosen(headers, How::Append, |name| all || always(name) || names(&http.to_client_on_deny, name));
    Ok(Err(Denial { status, headers, body: answer.body, is_answer: true }))
}

/// The headers that match. Of several of one name the first takes the place of what is there, the others join it.
fn chosen(headers: &HeaderMap, how: How, wanted: impl Fn(&HeaderName) -> bool) -> Vec<Change> {
    let mut chosen = Vec::new();
    for name in headers.keys().filter(|name| wanted(name) && !is_managed(name)) {
        let mut how = how;
        for value in headers.get_all(name) {
            chosen.push(Change::new(name.clone(), value.clone(), how));
            how = How::Append;
        }
    }
    chosen
}

fn removed(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(REMOVE).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    names.filter(is_removable).collect()
}

fn names(patterns: &[Pattern], name: &HeaderName) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name.as_str()))
}
