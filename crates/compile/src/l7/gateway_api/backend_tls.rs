//! BackendTLSPolicy: TLS of the connections to applications.
//!
//! It counts over what a DestinationRule says of TLS. Of several for one service that for its port counts, then the
//! oldest.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_l7::{CredentialKey, CredentialKind, Credentials, Origin, Tls, TlsMode, Traffic, TrafficPolicy};
use ambit_model::Service;
use ambit_resources::FieldPath;
use ambit_resources::gateway_api::{
    BackendTlsPolicySpec, BackendTlsTarget, BackendTlsValidation, LocalReference, SubjectAltNameType,
};

use super::problem::RouteProblem;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::credentials::Named;
use crate::l7::cx::Cx;
use crate::l7::targets::Target;

/// A BackendTLSPolicy by itself.
#[derive(Debug)]
pub(crate) struct BackendTls {
    /// The services, and the ports of them by name.
    pub(crate) targets: Vec<(Target, Option<Arc<str>>)>,
    /// The authorities it refers to.
    pub(crate) credentials: Vec<Named>,
    object: Arc<str>,
    tls: Tls,
}

impl BackendTls {
    /// What an object means by itself. Worth something only where there are no errors among the findings.
    pub(crate) fn prepare(spec: &BackendTlsPolicySpec, cx: &mut Cx<'_>) -> Self {
        let at = At::SPEC;
        let list = at.field("targetRefs");
        let targets = spec.target_refs.iter().enumerate();
        let targets = targets.filter_map(|(i, written)| target(written, &list.index(i), cx)).collect();
        if !spec.options.is_empty() {
            cx.warning(&at.field("options"), L7Problem::NoEffect { reason: "no option is known here" });
        }
        let tls = tls(&spec.validation, &at.field("validation"), cx);
        let refers = FieldPath::of("spec.validation.caCertificateRefs");
        let credentials = vec![(refers, tls.credentials.clone())];
        Self { targets, credentials, object: Arc::clone(&cx.object), tls }
    }

    /// The first of some policies that counts in its place, for the service or a port of it.
    pub(crate) fn hidden_by(&self, own: &Target, older: &[Arc<Self>]) -> Option<Arc<str>> {
        let mut mine = self.targets.iter().filter(|(target, _)| target == own);
        let winner = mine.find_map(|(_, port)| older.iter().find(|older| older.is_for(own, port.as_deref())));
        winner.map(|winner| Arc::clone(&winner.object))
    }

    fn is_for(&self, target: &Target, port: Option<&str>) -> bool {
        self.targets.iter().any(|(known, section)| known == target && section.as_deref() == port)
    }
}

fn target(written: &BackendTlsTarget, at: &At<'_>, cx: &mut Cx<'_>) -> Option<(Target, Option<Arc<str>>)> {
    let BackendTlsTarget { group, kind, name, section_name } = written;
    let (namespace, name) = (Arc::clone(cx.namespace()), name.as_str().into());
    let target = match (group.as_str(), kind.as_str()) {
        ("" | "core", "Service") => Target::Service(namespace, name),
        ("networking.istio.io", "ServiceEntry") => Target::Entry(namespace, name),
        _ => {
            cx.error(&at.field("kind"), L7Problem::TargetKind { group: group.clone(), kind: kind.clone() });
            return None;
        }
    };
    Some((target, section_name.as_deref().map(Arc::from)))
}

fn tls(written: &BackendTlsValidation, at: &At<'_>, cx: &mut Cx<'_>) -> Tls {
    let BackendTlsValidation { ca_certificate_refs, well_known_ca_certificates, hostname, subject_alt_names } = written;
    if hostname.is_empty() {
        cx.error(&at.field("hostname"), L7Problem::Required { what: "the name that the certificate is to have" });
    }
    let names = subject_alt_names.iter().filter_map(|name| match name.kind {
        SubjectAltNameType::Hostname => name.hostname.as_deref(),
        SubjectAltNameType::Uri => name.uri.as_deref(),
    });
    let names: Vec<Arc<str>> = names.map(Arc::from).collect();
    if names.len() != subject_alt_names.len() {
        let what = "the name that its type asks for";
        cx.error(&at.field("subjectAltNames"), L7Problem::Required { what });
    }
    let known = well_known_ca_certificates.as_deref().filter(|known| !known.is_empty());
    let at_known = at.field("wellKnownCACertificates");
    match (known, ca_certificate_refs.is_empty()) {
        (Some(_), false) => cx.error(&at_known, L7Problem::Exclusive { other: "caCertificateRefs" }),
        (None, true) => {
            cx.error(at, L7Problem::Required { what: "caCertificateRefs or wellKnownCACertificates" });
        }
        (Some("System"), true) | (None, false) => {}
        (Some(other), true) => cx.error(&at_known, L7Problem::Value { value: other.to_owned(), expected: "System" }),
    }
    Tls {
        mode: TlsMode::Simple,
        subject_alt_names: names,
        server_name: Some(hostname.as_str().into()),
        insecure_skip_verify: false,
        // Where no authority can be had none is believed: connections fail rather than to trust the system's.
        credentials: if known.is_some() {
            Credentials::System
        } else {
            Credentials::Authorities(authorities(ca_certificate_refs, &at.field("caCertificateRefs"), cx))
        },
    }
}

/// Where the authorities are that a policy refers to.
fn authorities(written: &[LocalReference], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<CredentialKey> {
    let mut keys = Vec::with_capacity(written.len());
    for (i, LocalReference { group, kind, name }) in written.iter().enumerate() {
        let found = match (group.as_str(), kind.as_str()) {
            ("" | "core", "ConfigMap") => CredentialKind::ConfigMap,
            ("" | "core", "Secret") => CredentialKind::Secret,
            _ => {
                let (kind, name) = (kind.as_str().into(), name.as_str().into());
                cx.warning(&at.index(i), RouteProblem::NoAuthorities { kind, name }.into());
                continue;
            }
        };
        keys.push(CredentialKey { kind: found, namespace: Arc::clone(cx.namespace()), name: name.as_str().into() });
    }
    keys
}

/// How a service is used, with the TLS that policies ask for, given the oldest first.
pub(crate) fn secured(
    traffic: Option<Arc<Traffic>>,
    service: &Service,
    own: &Target,
    policies: &[Arc<BackendTls>],
) -> Option<Arc<Traffic>> {
    let Some(first) = policies.first() else { return traffic };
    let find = |port: Option<&str>| policies.iter().find(|policy| policy.is_for(own, port)).map(|policy| &policy.tls);
    let mut made = traffic.as_deref().cloned().unwrap_or_default();
    let origin = || Origin { object: Arc::clone(&first.object), field: "spec".into(), name: "".into() };
    made.origin.get_or_insert_with(origin);
    let all = find(None);
    let secure = |policy: &mut Arc<TrafficPolicy>, ports: &mut BTreeMap<u16, Arc<TrafficPolicy>>| {
        for port in &service.ports {
            if let Some(tls) = find(Some(&port.name)).or(all) {
                let of_port = ports.entry(port.port).or_insert_with(|| Arc::clone(policy));
                Arc::make_mut(of_port).tls = tls.clone();
            }
        }
        if let Some(tls) = all {
            Arc::make_mut(policy).tls = tls.clone();
        }
    };
    secure(&mut made.policy, &mut made.ports);
    made.subsets.values_mut().for_each(|subset| secure(&mut subset.policy, &mut subset.ports));
    Some(Arc::new(made))
}
