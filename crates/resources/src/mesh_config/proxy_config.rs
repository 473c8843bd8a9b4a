//! What is configured of proxies: for all in MeshConfig, for one waypoint by an annotation of its Gateway.

use serde::Deserialize;

use crate::document;
use crate::read::read;
use crate::{FieldPath, Problem};

/// What is configured of proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfig {
    /// Where they stand among others.
    pub gateway_topology: Option<GatewayTopology>,
}

/// Where a proxy stands among others. What is left open is as said for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTopology {
    /// How many proxies are trusted that requests come through before.
    pub num_trusted_proxies: Option<u32>,
    /// What becomes of `X-Forwarded-Client-Cert`.
    pub forward_client_cert_details: Option<ForwardClientCertDetails>,
}

/// What becomes of `X-Forwarded-Client-Cert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ForwardClientCertDetails {
    /// As if nothing were said.
    #[default]
    Undefined,
    /// It is taken out.
    Sanitize,
    /// It goes on, where the client has proved who it is.
    ForwardOnly,
    /// The client is added to it.
    AppendForward,
    /// It says the client and nobody else.
    SanitizeSet,
    /// It goes on.
    AlwaysForwardOnly,
}

impl ProxyConfig {
    /// The annotation of a Gateway that says this of its waypoint.
    pub const ANNOTATION: &str = "proxy.istio.io/config";

    /// Reads the annotation. What there is besides is returned: it is about sidecars.
    ///
    /// # Errors
    /// Where it is no YAML, or a field has not its type.
    pub fn parse(text: &str) -> Result<(Self, Vec<FieldPath>), Problem> {
        let mut ignored = Vec::new();
        let Some(document) = document::split(text).into_iter().next() else { return Ok((Self::default(), ignored)) };
        let (value, _) = document.read().map_err(|unreadable| unreadable.problem)?;
        let config = read(&value, &mut ignored).map_err(|(_, problem)| problem)?;
        Ok((config, ignored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_read_as_mesh_config_is() {
        let topology = |trusted, details| ProxyConfig {
            gateway_topology: Some(GatewayTopology {
                num_trusted_proxies: trusted,
                forward_client_cert_details: details,
            }),
        };
        for (text, expected, ignored) in [
            ("", ProxyConfig::default(), ""),
            ("gatewayTopology: {numTrustedProxies: 2}", topology(Some(2), None), ""),
            (
                "concurrency: 2\ngatewayTopology: {forwardClientCertDetails: SANITIZE_SET}",
                topology(None, Some(ForwardClientCertDetails::SanitizeSet)),
                "concurrency",
            ),
            (r#"{"gatewayTopology": {"proxyProtocol": {}}}"#, topology(None, None), "gatewayTopology.proxyProtocol"),
        ] {
            let (config, unused) = ProxyConfig::parse(text).unwrap();
            let unused: Vec<_> = unused.iter().map(ToString::to_string).collect();
            assert_eq!((config, unused.join(" ").as_str()), (expected, ignored), "{text}");
        }
        for text in ["a: [", "gatewayTopology: {numTrustedProxies: -1}", "gatewayTopology: {numTrustedProxies: two}"] {
            assert!(ProxyConfig::parse(text).is_err(), "{text}");
        }
    }
}
