//! By gRPC: `envoy.service.auth.v3.Authorization/Check`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_l7::ExternalAuthorizer;
use ambit_model::Identity;
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};

use super::change::{How, is_removable};
use super::messages::{
    Address, AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption, HttpRequest,
    HttpResponse, OkHttpResponse, Peer, SocketAddress, TlsSession,
};
use super::{AskError, Asked, Change, Consent, Denial, PARTIAL_BODY, Seen, Verdict, callee, messages, partial};
use crate::connection::Connection;
use crate::in_force::InForce;
use crate::worker::Worker;

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn ask(authorizer: &ExternalAuthorizer, asked: Asked<'_>, seen: &Seen) -> Result<Verdict, AskError> {
    let message = CheckRequest { attributes: Some(attributes(authorizer, asked, seen)) };
    verdict(callee(authorizer).call(asked.worker, asked.in_force, METHOD, &message).await?)
}

/// The same for a connection that is no HTTP.
pub(super) async fn ask_of_bytes(
    authorizer: &ExternalAuthorizer,
    (worker, in_force): (&Rc<Worker>, &Arc<InForce>),
    connection: &Connection,
    server_name: Option<&str>,
) -> Result<Verdict, AskError> {
    let tls_session = server_name.map(|name| TlsSession { sni: name.to_owned() });
    let attributes = AttributeContext { tls_session, ..ends(connection, in_force) };
    let message = CheckRequest { attributes: Some(attributes) };
    verdict(callee(authorizer).call(worker, in_force, METHOD, &message).await?)
}

fn attributes(authorizer: &ExternalAuthorizer, asked: Asked<'_>, seen: &Seen) -> AttributeContext {
    let http = Some(http(authorizer, asked, seen));
    let request = Some(messages::Asked { time: Some(SystemTime::now().into()), http });
    AttributeContext { request, ..ends(asked.connection, asked.in_force) }
}

/// Who asks whom.
fn ends(connection: &Connection, in_force: &InForce) -> AttributeContext {
    let client = &connection.client;
    let labels = client.workload.iter().flat_map(|workload| workload.labels.iter());
    let labels = labels.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    AttributeContext {
        source: Some(Peer { labels, ..peer(client.address.socket(), &client.identity) }),
        destination: Some(peer(connection.target.socket(), &in_force.own.identity)),
        ..AttributeContext::default()
    }
}

fn peer(address: SocketAddr, identity: &Identity) -> Peer {
    let socket_address =
        SocketAddress { address: address.ip().to_string(), port_value: Some(u32::from(address.port())) };
    Peer {
        address: Some(Address { socket_address: Some(socket_address) }),
        principal: identity.to_string(),
        ..Peer::default()
    }
}

fn http(authorizer: &ExternalAuthorizer, asked: Asked<'_>, seen: &Seen) -> HttpRequest {
    let view = asked.head.view(asked.connection);
    let path = asked.head.parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let mut headers = BTreeMap::from([
        (":authority".to_owned(), view.authority.to_owned()),
        (":method".to_owned(), view.method.to_string()),
        (":path".to_owned(), path.clone()),
        (":scheme".to_owned(), view.scheme.to_owned()),
    ]);
    let each = view.headers.keys().filter_map(|name| Some((name.to_string(), view.header(name)?.into_owned())));
    headers.extend(each);
    let wants_body = authorizer.body;
    if wants_body.is_some() {
        let partial = partial(seen);
        headers.insert(PARTIAL_BODY.to_string(), String::from_utf8_lossy(partial.as_bytes()).into_owned());
    }
    let is_raw = wants_body.is_some_and(|body| body.as_bytes);
    let length = view.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    HttpRequest {
        id: view.header(&REQUEST_ID).unwrap_or_default().into_owned(),
        method: view.method.to_string(),
        headers,
        path,
        host: view.authority.to_owned(),
        scheme: view.scheme.to_owned(),
        size: length.unwrap_or(-1),
        protocol: format!("{:?}", asked.head.parts.version).replace("HTTP/2.0", "HTTP/2"),
        body: if is_raw { String::new() } else { String::from_utf8_lossy(&seen.bytes).into_owned() },
        raw_body: if is_raw { seen.bytes.clone() } else { Bytes::new() },
    }
}

/// Only a status that says OK is consent: none at all says it too, as everywhere in this format.
pub(super) fn verdict(response: CheckResponse) -> Result<Verdict, AskError> {
    let code = response.status.map_or(0, |status| status.code);
    match (code, response.http_response) {
        (0, Some(HttpResponse::Denied(_))) => Err(AskError::Contradiction),
        (0, None) => Ok(Ok(Consent::default())),
        (0, Some(HttpResponse::Ok(ok))) => Ok(Ok(consent(ok)?)),
        (_, Some(HttpResponse::Denied(denied))) => Ok(Err(denial(denied)?)),
        (_, Some(HttpResponse::Ok(_)) | None) => Ok(Err(denial(DeniedHttpResponse::default())?)),
    }
}

fn consent(ok: OkHttpResponse) -> Result<Consent, AskError> {
    let remove = ok.headers_to_remove.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    Ok(Consent {
        changes: changes(&ok.headers, How::Overwrite)?,
        remove: remove.filter(is_removable).collect(),
        to_client: changes(&ok.response_headers_to_add, How::Append)?,
    })
}

fn denial(denied: DeniedHttpResponse) -> Result<Denial, AskError> {
    let status = denied.status.and_then(|status| StatusCode::from_u16(status.code.try_into().ok()?).ok());
    Ok(Denial {
        status: status.filter(|status| status.as_u16() >= 200).unwrap_or(StatusCode::FORBIDDEN),
        headers: changes(&denied.headers, How::Overwrite)?,
        body: denied.body.into(),
        is_answer: true,
    })
}

/// `unsaid` is what a change does that does not say how: the older of the two ways to say it has two meanings of
/// silence.
fn changes(headers: &[HeaderValueOption], unsaid: How) -> Result<Vec<Change>, AskError> {
    let each = headers.iter().filter_map(|option| Some((option.header.as_ref()?, option)));
    let each = each.map(|(header, option)| {
        let how = match (option.append, option.append_action) {
            (Some(true), _) => How::Append,
            (Some(false), _) | (None, 2) => How::Overwrite,
            (None, 1) => How::AddIfAbsent,
            (None, 3) => How::OverwriteIfPresent,
            (None, _) => unsaid,
        };
        Change::read(&header.key, header.bytes(), how)
    });
    each.filter_map(Result::transpose).collect()
}
