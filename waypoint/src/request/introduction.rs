//! After step 5: what policies, authorizers and backends are told of every request, and of who asks. The client's own
//! word counts for nothing but the beginning of a list, unless it is a proxy that is trusted.

use ambit_l7::{BadForwardedFor, ClientView, append_hop};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::Head;
use super::refusal::Refusal;
use super::{Exchange, REQUEST_ID, text};
use crate::connection::Connection;
use crate::in_force::InForce;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Exchange {
    /// Names the request, to its log and traces as to whoever gets it.
    pub(super) fn introduce(&mut self, head: &mut Head) -> Result<(), Refusal> {
        introduce(head, &self.connection, &self.in_force)?;
        if let Some(report) = &mut self.record.observer {
            report.trace(&mut head.parts.headers);
        }
        if self.worker.log.is_some() {
            self.record.facts.request_id = text(&head.parts.headers, &REQUEST_ID);
        }
        Ok(())
    }
}

fn introduce(head: &mut Head, connection: &Connection, in_force: &InForce) -> Result<(), Refusal> {
    let topology = in_force.config.topology;
    let headers = &mut head.parts.headers;
    head.remote = topology.client(headers).map_err(|BadForwardedFor| Refusal::bad_request(BAD_FORWARDED_FOR))?;
    append_hop(headers, connection.client.address.ip());
    topology.certificate.apply(headers, || element(connection, in_force));
    let is_told = topology.trusted_proxies > 0 && headers.get(FORWARDED_PROTO).is_some_and(is_scheme);
    if !is_told {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    name(headers);
    Ok(())
}

const BAD_FORWARDED_FOR: &str = "bad_x_forwarded_for";

fn is_scheme(value: &HeaderValue) -> bool {
    matches!(value.as_bytes(), b"http" | b"https")
}

/// The client in `X-Forwarded-Client-Cert`. None of its parts can have a character that means something there.
fn element(connection: &Connection, in_force: &InForce) -> Option<HeaderValue> {
    let (own, client) = (&in_force.own.identity, &connection.client.identity);
    HeaderValue::try_from(format!("By={own};Hash={};URI={client}", connection.certificate)).ok()
}

fn name(headers: &mut HeaderMap) {
    if !headers.contains_key(REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(uuid(rand::random()))
    {
        headers.insert(REQUEST_ID, id);
    }
}

/// A random UUID (RFC 9562 §5.4).
fn uuid(random: u128) -> String {
    let bits = random & !(0xf000 << 64 | 0xc << 60) | 0x4000 << 64 | 0x8 << 60;
    let digits = format!("{bits:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

impl Head {
    /// Who asks, as rules, policies and limits see it.
    pub(crate) fn client<'c>(&self, connection: &'c Connection) -> ClientView<'c> {
        let peer = connection.client.view();
        ClientView { remote_ip: self.remote.unwrap_or(peer.ip), ..peer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_random_uuids() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
