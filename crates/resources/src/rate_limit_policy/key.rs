//! What requests have in common that count together.

use serde::Deserialize;

/// Something of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Written")]
pub enum LimitKey {
    /// The client's principal, as its certificate has it.
    ClientIdentity,
    /// The client's address.
    ClientIp,
    /// The path, without the query.
    Path,
    /// The method.
    Method,
    /// The value of a header.
    Header(String),
    /// The value of a claim of a valid token; a dot leads into it.
    Claim(String),
}

/// Something of a request: one of these.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1, "maxProperties" = 1)))]
#[serde(rename_all = "camelCase", default)]
struct Written {
    client_identity: bool,
    client_ip: bool,
    path: bool,
    method: bool,
    header: Option<String>,
    claim: Option<String>,
}

/// Not one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exactly one of clientIdentity, clientIp, path, method, header and claim is to be set, the first four to true")]
struct AmbiguousKey;

impl TryFrom<Written> for LimitKey {
    type Error = AmbiguousKey;

    fn try_from(written: Written) -> Result<Self, AmbiguousKey> {
        let Written { client_identity, client_ip, path, method, header, claim } = written;
        let mut set = [
            client_identity.then_some(Self::ClientIdentity),
            client_ip.then_some(Self::ClientIp),
            path.then_some(Self::Path),
            method.then_some(Self::Method),
            header.map(Self::Header),
            claim.map(Self::Claim),
        ]
        .into_iter()
        .flatten();
        match (set.next(), set.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(AmbiguousKey),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for LimitKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LimitKey".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}
