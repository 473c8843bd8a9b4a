//! The `ambit-client-principal` header: who the client of a connection is, in the word of the waypoint that
//! carries it on. It is worth something only from a waypoint that is trusted to say so, by its certificate.

use ambit_model::{Identity, IdentityError};
use http::HeaderMap;

/// The header's name.
pub const CLIENT_PRINCIPAL: &str = "ambit-client-principal";

/// Why a header names no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientPrincipalError {
    /// There are several, of which each could be the one that was meant.
    #[error("more than one {CLIENT_PRINCIPAL} header")]
    Repeated,
    /// It holds what is no text.
    #[error("the {CLIENT_PRINCIPAL} header is no text")]
    Text,
    /// It holds no identity.
    #[error("{CLIENT_PRINCIPAL} header")]
    Identity(#[source] IdentityError),
}

/// Reads the header; nothing where there is none.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Identity>, ClientPrincipalError> {
    let mut values = headers.get_all(CLIENT_PRINCIPAL).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(ClientPrincipalError::Repeated),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| ClientPrincipalError::Text)?;
            text.parse().map(Some).map_err(ClientPrincipalError::Identity)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_identity_or_none() {
        let client = || Identity::new("cluster.local", "shop", "cart");
        let form = |text: &str| ClientPrincipalError::Identity(text.parse::<Identity>().unwrap_err());
        let long = format!("spiffe://td/ns/a/sa/{}", "x".repeat(3000));
        for (values, expected) in [
            (vec![], Ok(None)),
            (vec!["spiffe://cluster.local/ns/shop/sa/cart"], Ok(Some(client()))),
            (vec!["cluster.local/ns/shop/sa/cart"], Err(form("cluster.local/ns/shop/sa/cart"))),
            (vec![""], Err(form(""))),
            (vec![&*long], Err(form(&long))),
            (vec!["spiffe://cluster.local/ns/shop/sa/cart"; 2], Err(ClientPrincipalError::Repeated)),
            (vec!["caf\u{e9}"], Err(ClientPrincipalError::Text)),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(CLIENT_PRINCIPAL, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(read(&headers), expected, "{values:?}");
        }
    }
}
