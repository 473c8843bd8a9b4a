//! `when`: an attribute, and the values it may and may not have.

use std::sync::Arc;

use ambit_l7::Condition;
use ambit_resources::{self as resources, FieldPath};
use http::HeaderName;

use super::rule::{patterns, principals, service_accounts};
use crate::Problem;
use crate::authorization::values;
use crate::l7::L7Problem;
use crate::l7::cx::Cx;

/// A condition; nothing for one that means nothing, which is said.
pub(super) fn condition(written: &resources::Condition, at: &FieldPath, cx: &mut Cx<'_>) -> Option<Condition> {
    let resources::Condition { key, values: yes, not_values: no } = written;
    if yes.is_empty() && no.is_empty() {
        cx.findings.error(at.clone(), Problem::NoValues);
    }
    let (at_yes, at_no, at_key) = (at.field("values"), at.field("notValues"), at.field("key"));
    let namespace = Arc::clone(cx.namespace());
    let said = &mut cx.findings;
    macro_rules! of {
        ($variant:ident, $read:expr) => {{
            let read = $read;
            let values = read(yes, &at_yes, said);
            Condition::$variant { values, not_values: read(no, &at_no, said) }
        }};
    }
    Some(match key.as_str() {
        "source.ip" => of!(SourceIp, values::blocks),
        "remote.ip" => of!(RemoteIp, values::blocks),
        "destination.ip" => of!(DestinationIp, values::blocks),
        "destination.port" => of!(DestinationPort, values::ports),
        "source.namespace" => of!(SourceNamespace, patterns),
        "source.principal" => of!(SourcePrincipal, principals),
        "connection.sni" => of!(ServerName, patterns),
        "request.auth.principal" => of!(RequestPrincipal, patterns),
        "request.auth.audiences" => of!(Audiences, patterns),
        "request.auth.presenter" => of!(Presenter, patterns),
        "source.serviceAccount" => {
            let values = service_accounts(yes, &namespace, &at_yes, said);
            let not_values = service_accounts(no, &namespace, &at_no, said);
            Condition::SourceServiceAccount { values, not_values }
        }
        key if key.starts_with("experimental.envoy.filters.") => {
            let reason = "there are no filters of Envoy here";
            said.error(at_key, L7Problem::Unsupported { reason }.into());
            return None;
        }
        key => {
            let Some(of) = Indexed::parse(key) else {
                said.error(at_key, Problem::UnknownAttribute { key: key.to_owned() });
                return None;
            };
            let (values, not_values) = (patterns(yes, &at_yes, said), patterns(no, &at_no, said));
            match of {
                Indexed::Header(name) => Condition::Header { name, values, not_values },
                Indexed::Claim(path) => Condition::Claim { path, values, not_values },
            }
        }
    })
}

/// An attribute with names in brackets.
enum Indexed {
    Header(HeaderName),
    Claim(Arc<[Arc<str>]>),
}

impl Indexed {
    /// `request.headers[name]`, `request.auth.claims[a][b]`.
    fn parse(key: &str) -> Option<Self> {
        if let Some(rest) = key.strip_prefix("request.headers[") {
            let name = rest.strip_suffix(']')?;
            return HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header);
        }
        let path = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
        let names = path
            .split("][")
            .map(|name| (!name.is_empty() && !name.contains(['[', ']'])).then(|| Arc::<str>::from(name)));
        names.collect::<Option<Vec<_>>>().map(|path| Self::Claim(path.into()))
    }
}
