//! `when`: an attribute, and the values it may and may not have.

use ambit_resources::{self as resources, FieldPath};

use crate::Problem;
use crate::authorization::rule::{Judged, Policy};
use crate::authorization::values::{blocks, patterns, ports, principals, service_accounts};
use crate::findings::Findings;

/// Attributes of requests, or of what a waypoint knows of them: complete, or up to a `[`.
const INVISIBLE: [&str; 8] = [
    "connection.sni",
    "remote.ip",
    "request.auth.audiences",
    "request.auth.claims[",
    "request.auth.presenter",
    "request.auth.principal",
    "request.headers[",
    "experimental.envoy.filters.",
];

impl Policy<'_> {
    /// A condition, by what is visible in a TCP connection.
    pub(super) fn condition(
        &self,
        condition: &resources::Condition,
        at: &FieldPath,
        findings: &mut Findings<'_>,
    ) -> Judged {
        let resources::Condition { key, values, not_values } = condition;
        if values.is_empty() && not_values.is_empty() {
            findings.error(at.clone(), Problem::NoValues);
        }
        let (yes, no) = (at.field("values"), at.field("notValues"));
        let mut judged = Judged::default();
        let visible = &mut judged.visible;
        match key.as_str() {
            "source.ip" => {
                visible.source_ips = blocks(values, &yes, findings);
                visible.not_source_ips = blocks(not_values, &no, findings);
            }
            "source.namespace" => {
                visible.namespaces = patterns(values, &yes, findings);
                visible.not_namespaces = patterns(not_values, &no, findings);
            }
            "source.principal" => {
                visible.principals = principals(values, &yes, findings);
                visible.not_principals = principals(not_values, &no, findings);
            }
            "source.serviceAccount" => {
                visible.service_accounts = service_accounts(values, self.namespace, &yes, findings);
                visible.not_service_accounts = service_accounts(not_values, self.namespace, &no, findings);
            }
            "destination.ip" => {
                visible.destination_ips = blocks(values, &yes, findings);
                visible.not_destination_ips = blocks(not_values, &no, findings);
            }
            "destination.port" => {
                visible.destination_ports = ports(values, &yes, findings);
                visible.not_destination_ports = ports(not_values, &no, findings);
            }
            key if is_invisible(key) => self.invisible(at.field("key"), &mut judged, findings),
            key => findings.error(at.field("key"), Problem::UnknownAttribute { key: key.to_owned() }),
        }
        judged
    }
}

fn is_invisible(key: &str) -> bool {
    INVISIBLE.iter().any(|known| match known.strip_suffix('[') {
        Some(_) => key.starts_with(known) && key.ends_with(']'),
        None if known.ends_with('.') => key.starts_with(known),
        None => key == *known,
    })
}
