//! Secrets and ConfigMaps that hold credentials, and who refers to them.

use std::sync::Arc;

use ambit_l7::{Credential, CredentialError, CredentialKey, CredentialKind, Credentials};
use ambit_resources::destination_rule::{ClientTls, DestinationRuleSpec, TlsMode, TrafficPolicy};
use ambit_resources::{ConfigMap, FieldPath, Kind, ObjectId, Secret};

use super::L7Options;

/// What a Secret or ConfigMap holds, if it holds what it should.
pub(crate) type Held = Result<Arc<Credential>, CredentialError>;

/// Where credentials are named, and which.
pub(crate) type Named = (FieldPath, Credentials);

/// How a credential is asked for; nothing of what is no credential.
pub(crate) fn key(id: &ObjectId) -> Option<CredentialKey> {
    let kinds = [(Kind::Secret, CredentialKind::Secret), (Kind::ConfigMap, CredentialKind::ConfigMap)];
    let (_, kind) = kinds.into_iter().find(|(kind, _)| *kind == id.kind)?;
    Some(CredentialKey { kind, namespace: Arc::clone(&id.namespace), name: Arc::clone(&id.name) })
}

/// What a Secret holds: by the names of TLS Secrets, or by those of the field's.
pub(crate) fn of_secret(id: &ObjectId, secret: &Secret) -> Option<Held> {
    let either = |names: [&str; 2]| names.iter().find_map(|name| secret.text(name));
    let credential = Credential {
        certificate: either(["tls.crt", "cert"]),
        key: either(["tls.key", "key"]),
        roots: either(["ca.crt", "cacert"]),
        revoked: either(["ca.crl", "crl"]),
    };
    key(id).map(|key| checked(key, credential))
}

/// What a ConfigMap holds: authorities.
pub(crate) fn of_config_map(id: &ObjectId, map: &ConfigMap) -> Option<Held> {
    let credential = Credential { roots: map.text("ca.crt"), ..Credential::default() };
    key(id).map(|key| checked(key, credential))
}

/// What is no certificate or key would fail each connection, and nobody would know why.
fn checked(key: CredentialKey, credential: Credential) -> Held {
    let Credential { certificate, key: secret, roots, revoked } = &credential;
    let all = [
        ("tls.crt", certificate, "CERTIFICATE"),
        ("tls.key", secret, "PRIVATE KEY"),
        ("ca.crt", roots, "CERTIFICATE"),
        ("ca.crl", revoked, "X509 CRL"),
    ];
    let is_bad = |(_, text, tag): &(&str, &Option<Arc<str>>, &str)| text.as_ref().is_some_and(|it| !is_pem(it, tag));
    let bad = all.iter().find(|entry| is_bad(entry)).map(|(name, ..)| *name);
    let missing = match (certificate, secret, roots) {
        (Some(_), None, _) => Some("tls.key"),
        (None, Some(_), _) => Some("tls.crt"),
        (None, None, None) => Some("ca.crt"),
        (_, _, _) => None,
    };
    match bad.or(missing) {
        Some(entry) => Err(CredentialError::Unusable { key, entry }),
        None => Ok(Arc::new(credential)),
    }
}

fn is_pem(text: &str, tag: &str) -> bool {
    let blocks = pem::parse_many(text).unwrap_or_default();
    !blocks.is_empty() && blocks.iter().all(|block| block.tag().ends_with(tag))
}

/// The credentials that a DestinationRule names.
pub(crate) fn of_rule(spec: &DestinationRuleSpec, options: &L7Options) -> Vec<Named> {
    let at = FieldPath::of("spec.trafficPolicy");
    let mut all = Vec::new();
    all.extend(spec.traffic_policy.iter().flat_map(|policy| of_policy(policy, &at, options)));
    for (i, subset) in spec.subsets.iter().enumerate() {
        let at = FieldPath::of("spec.subsets").index(i).field("trafficPolicy");
        all.extend(subset.traffic_policy.iter().flat_map(|policy| of_policy(policy, &at, options)));
    }
    all
}

fn of_policy(policy: &TrafficPolicy, at: &FieldPath, options: &L7Options) -> Vec<Named> {
    let ports = policy.port_level_settings.iter().enumerate();
    let ports = ports.filter_map(|(i, of)| Some((at.field("portLevelSettings").index(i), of.tls.as_ref()?)));
    let all = policy.tls.iter().map(|tls| (at.clone(), tls)).chain(ports);
    let named = |tls: &ClientTls| {
        let is_read = matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual) && !tls.credential_name.is_empty();
        is_read.then(|| named(&tls.credential_name, options))
    };
    all.filter_map(|(at, tls)| Some((at.field("tls").field("credentialName"), named(tls)?))).collect()
}

/// A `credentialName`. As in the field, credentials are those of who connects.
pub(crate) fn named(name: &str, options: &L7Options) -> Credentials {
    Credentials::Named { namespace: Arc::clone(&options.waypoint.namespace), name: name.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_secret_must_hold() {
        let pem = |tag: &str| format!("-----BEGIN {tag}-----\nAAAA\n-----END {tag}-----\n");
        let (certificate, key) = (pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
        let id = ObjectId { kind: Kind::Secret, namespace: "shop".into(), name: "s".into() };
        for (data, expected) in [
            (json!({ "tls.crt": certificate, "tls.key": key }), Ok(())),
            (json!({ "cert": certificate, "key": key, "cacert": certificate }), Ok(())),
            (json!({ "ca.crt": certificate }), Ok(())),
            (json!({ "tls.crt": certificate }), Err("tls.key")),
            (json!({ "tls.key": key }), Err("tls.crt")),
            (json!({ "tls.crt": certificate, "tls.key": certificate }), Err("tls.key")),
            (json!({ "tls.crt": "no", "tls.key": key }), Err("tls.crt")),
            (json!({ "ca.crt": "" }), Err("ca.crt")),
            (json!({}), Err("ca.crt")),
        ] {
            let secret: Secret = serde_json::from_value(json!({ "stringData": data })).unwrap();
            let found = of_secret(&id, &secret).unwrap().map(drop).map_err(|error| error.to_string());
            let expected = expected.map_err(|entry| {
                format!("Secret shop/s cannot be used: {entry} is not there, or not PEM of the kind it should be")
            });
            assert_eq!(found, expected, "{data}");
        }
    }
}
