//! What stands before the waypoint: by MeshConfig's `defaultConfig`, or an annotation of the waypoint's Gateway.

use ambit_l7::{ForwardedCertificate, Topology};
use ambit_resources::mesh_config::{ForwardClientCertDetails, GatewayTopology, ProxyConfig};
use ambit_resources::{FieldPath, Gateway};

use super::L7Problem;
use super::cx::Cx;

/// What a waypoint's own Gateway says. Annotations of what is made for it go before its own, as they do for its pods.
pub(crate) fn of_gateway(gateway: &Gateway, cx: &mut Cx<'_>) -> GatewayTopology {
    let made = gateway.spec.infrastructure.as_ref().map(|made| ("spec.infrastructure", &made.annotations));
    let all = made.into_iter().chain([("metadata", &gateway.metadata.annotations)]);
    let written = all.filter_map(|(at, annotations)| Some((at, annotations.get(ProxyConfig::ANNOTATION)?))).next();
    let Some((at, text)) = written else { return GatewayTopology::default() };
    let at = FieldPath::of(at).field("annotations").field(ProxyConfig::ANNOTATION);
    match ProxyConfig::parse(text) {
        Ok((config, ignored)) => {
            let reason = "of a waypoint only gatewayTopology's numTrustedProxies and forwardClientCertDetails count";
            if !ignored.is_empty() {
                cx.findings.warning(at.clone(), L7Problem::NoEffect { reason }.into());
            }
            config.gateway_topology.unwrap_or_default()
        }
        Err(problem) => {
            cx.findings.error(at, problem.into());
            GatewayTopology::default()
        }
    }
}

/// What holds: field by field the Gateway's word, else the mesh configuration's.
pub(crate) fn merge(gateway: &GatewayTopology, mesh: &GatewayTopology) -> Topology {
    let details = gateway.forward_client_cert_details.or(mesh.forward_client_cert_details).unwrap_or_default();
    Topology {
        trusted_proxies: gateway.num_trusted_proxies.or(mesh.num_trusted_proxies).unwrap_or_default(),
        certificate: match details {
            ForwardClientCertDetails::Undefined | ForwardClientCertDetails::Sanitize => ForwardedCertificate::Sanitized,
            // Every client of a waypoint has proved who it is.
            ForwardClientCertDetails::ForwardOnly | ForwardClientCertDetails::AlwaysForwardOnly => {
                ForwardedCertificate::Forwarded
            }
            ForwardClientCertDetails::AppendForward => ForwardedCertificate::Appended,
            ForwardClientCertDetails::SanitizeSet => ForwardedCertificate::Set,
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::l7::fixtures::{Mesh, object, said};

    use super::*;

    /// The waypoint's Gateway with this annotation, of its own or of what is made for it.
    fn gateway(metadata: &str, made: &str) -> String {
        let annotate =
            |text: &str| if text.is_empty() { "{}".to_owned() } else { format!("{{proxy.istio.io/config: '{text}'}}") };
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
             metadata: {{name: waypoint, namespace: shop, annotations: {}}}\n\
             spec:\n  gatewayClassName: istio-waypoint\n  infrastructure: {{annotations: {}}}\n  \
             listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]\n",
            annotate(metadata),
            annotate(made)
        )
    }

    #[test]
    fn the_gateway_goes_before_the_mesh_field_by_field() {
        use ForwardedCertificate::{Appended, Forwarded, Sanitized, Set};
        let of_mesh = "{numTrustedProxies: 1, forwardClientCertDetails: SANITIZE_SET}";
        for (mesh_says, metadata, made, expected) in [
            ("{}", "", "", (0, Sanitized)),
            ("{forwardClientCertDetails: UNDEFINED}", "", "", (0, Sanitized)),
            (of_mesh, "", "", (1, Set)),
            (of_mesh, "gatewayTopology: {numTrustedProxies: 2}", "", (2, Set)),
            (of_mesh, "gatewayTopology: {forwardClientCertDetails: SANITIZE}", "", (1, Sanitized)),
            ("{}", "gatewayTopology: {forwardClientCertDetails: FORWARD_ONLY}", "", (0, Forwarded)),
            ("{}", "gatewayTopology: {forwardClientCertDetails: ALWAYS_FORWARD_ONLY}", "", (0, Forwarded)),
            (
                "{}",
                "gatewayTopology: {numTrustedProxies: 2}",
                "gatewayTopology: {numTrustedProxies: 3}",
                (3, Sanitized),
            ),
            ("{}", "", "gatewayTopology: {forwardClientCertDetails: APPEND_FORWARD}", (0, Appended)),
        ] {
            let mut mesh = Mesh::new();
            let config = format!("defaultConfig: {{gatewayTopology: {mesh_says}}}");
            let delta = mesh.put(&object("MeshConfig", "istio-system/default", &config));
            assert_eq!(said(&delta), Vec::<String>::new(), "{config}");
            mesh.put(&gateway(metadata, made));
            let Topology { trusted_proxies, certificate } = mesh.store.config().topology;
            assert_eq!((trusted_proxies, certificate), expected, "{mesh_says} {metadata} {made}");
        }
    }

    #[test]
    fn an_annotation_that_cannot_be_read_is_told_and_changes_nothing() {
        let mut mesh = Mesh::new();
        mesh.put(&gateway("gatewayTopology: {numTrustedProxies: 2}", ""));
        let delta = mesh.put(&gateway("gatewayTopology: {numTrustedProxies: many}", ""));
        assert!(said(&delta).iter().any(|word| word.starts_with("error metadata.annotations")), "{delta:?}");
        assert_eq!(mesh.store.config().topology.trusted_proxies, 2);
        let delta = mesh.put(&gateway("{concurrency: 2, gatewayTopology: {numTrustedProxies: 1}}", ""));
        assert!(said(&delta).iter().any(|word| word.starts_with("warning metadata.annotations")), "{delta:?}");
        assert_eq!(mesh.store.config().topology.trusted_proxies, 1);
    }
}
