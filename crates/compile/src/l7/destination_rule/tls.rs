//! Whether and how connections to applications are TLS.

use ambit_l7::{Credentials, Tls, TlsMode};
use ambit_resources::destination_rule::{self as written, ClientTls};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::credentials::named;
use crate::l7::cx::Cx;
use crate::l7::text::text;

pub(super) fn tls(written: &ClientTls, at: &At<'_>, cx: &mut Cx<'_>) -> Tls {
    let mode = match written.mode {
        written::TlsMode::Disable => TlsMode::Disable,
        written::TlsMode::Simple => TlsMode::Simple,
        written::TlsMode::Mutual => TlsMode::Mutual,
        written::TlsMode::IstioMutual => TlsMode::MeshMutual,
    };
    check_files(written, mode, at, cx);
    Tls {
        mode,
        subject_alt_names: written.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        server_name: text(&written.sni),
        insecure_skip_verify: written.insecure_skip_verify.unwrap_or(false),
        credentials: credentials(written, mode, cx),
    }
}

/// Which fields a mode needs, and which would be passed over by it.
fn check_files(written: &ClientTls, mode: TlsMode, at: &At<'_>, cx: &mut Cx<'_>) {
    let own = [("clientCertificate", &written.client_certificate), ("privateKey", &written.private_key)];
    let others = [("caCertificates", &written.ca_certificates), ("caCrl", &written.ca_crl)];
    let credential = [("credentialName", &written.credential_name)];
    let named = !written.credential_name.is_empty();
    let (needed, excluded): (&[(&str, &String)], Vec<_>) = match mode {
        TlsMode::Mutual if !named => (&own, Vec::new()),
        TlsMode::Mutual => (&[], [own, others].concat()),
        TlsMode::Simple if named => (&[], [own, others].concat()),
        TlsMode::Simple => (&[], own.to_vec()),
        TlsMode::MeshMutual => (&[], own.into_iter().chain(others).chain(credential).collect()),
        TlsMode::Disable => (&[], Vec::new()),
    };
    for (field, _) in needed.iter().filter(|(_, value)| value.is_empty()) {
        cx.error(&at.field(field), L7Problem::Required { what: "a file, or credentialName, for mode MUTUAL" });
    }
    let other = match mode {
        TlsMode::MeshMutual => "mode ISTIO_MUTUAL",
        TlsMode::Simple if !named => "mode SIMPLE",
        TlsMode::Disable | TlsMode::Simple | TlsMode::Mutual => "credentialName",
    };
    for (field, _) in excluded.iter().filter(|(_, value)| !value.is_empty()) {
        cx.error(&at.field(field), L7Problem::Exclusive { other });
    }
    if written.insecure_skip_verify == Some(true) && !written.subject_alt_names.is_empty() {
        cx.error(&at.field("insecureSkipVerify"), L7Problem::Exclusive { other: "subjectAltNames" });
    }
}

fn credentials(written: &ClientTls, mode: TlsMode, cx: &Cx<'_>) -> Credentials {
    if matches!(mode, TlsMode::Disable | TlsMode::MeshMutual) {
        return Credentials::System;
    }
    if !written.credential_name.is_empty() {
        return named(&written.credential_name, cx.options);
    }
    let ClientTls { client_certificate, private_key, ca_certificates, ca_crl, .. } = written;
    match [client_certificate, private_key, ca_certificates, ca_crl].map(|path| text(path)) {
        [None, None, None, None] => Credentials::System,
        [certificate, key, roots, revoked] => Credentials::Files { certificate, key, roots, revoked },
    }
}
