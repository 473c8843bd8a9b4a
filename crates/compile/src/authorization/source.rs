//! `from.source`.

use std::sync::Arc;

use ambit_model::StringMatch;
use ambit_resources::{self as resources, FieldPath};

use crate::Problem;
use crate::authorization::rule::{Judged, Policy};
use crate::authorization::values::{blocks, patterns, principals, service_accounts};
use crate::findings::Findings;

impl Policy<'_> {
    /// A source, by what is visible in a TCP connection.
    pub(super) fn source(&self, source: &resources::Source, at: &FieldPath, findings: &mut Findings<'_>) -> Judged {
        if *source == resources::Source::default() {
            findings.error(at.clone(), Problem::Empty);
        }
        check_exclusive(source, at, findings);
        let mut judged = Judged::default();
        let visible = &mut judged.visible;
        visible.principals = principals(&source.principals, &at.field("principals"), findings);
        visible.not_principals = principals(&source.not_principals, &at.field("notPrincipals"), findings);
        visible.namespaces = patterns(&source.namespaces, &at.field("namespaces"), findings);
        visible.not_namespaces = patterns(&source.not_namespaces, &at.field("notNamespaces"), findings);
        let accounts = |values: &[String], name: &str, findings: &mut Findings<'_>| {
            service_accounts(values, self.namespace, &at.field(name), findings)
        };
        visible.service_accounts = accounts(&source.service_accounts, "serviceAccounts", findings);
        visible.not_service_accounts = accounts(&source.not_service_accounts, "notServiceAccounts", findings);
        visible.source_ips = blocks(&source.ip_blocks, &at.field("ipBlocks"), findings);
        visible.not_source_ips = blocks(&source.not_ip_blocks, &at.field("notIpBlocks"), findings);
        self.trust_domains(source, at, &mut judged, findings);
        for (name, values) in [
            ("requestPrincipals", &source.request_principals),
            ("notRequestPrincipals", &source.not_request_principals),
            ("remoteIpBlocks", &source.remote_ip_blocks),
            ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
        ] {
            if !values.is_empty() {
                self.invisible(at.field(name), &mut judged, findings);
            }
        }
        judged
    }

    /// A trust domain is how a principal begins. That is all the model can say of it, so what it
    /// cannot say (how a trust domain ends; a trust domain *and* a principal) counts as invisible.
    fn trust_domains(
        &self,
        source: &resources::Source,
        at: &FieldPath,
        judged: &mut Judged,
        findings: &mut Findings<'_>,
    ) {
        let (wanted, excluded) = (at.field("trustDomains"), at.field("notTrustDomains"));
        let as_principals = |values: &[String], at: &FieldPath, findings: &mut Findings<'_>| {
            patterns(values, at, findings).iter().map(principals_of).collect::<Option<Vec<_>>>()
        };
        match as_principals(&source.trust_domains, &wanted, findings) {
            Some(none) if none.is_empty() => {}
            Some(found) if judged.visible.principals.is_empty() => judged.visible.principals = found,
            _ => self.invisible(wanted, judged, findings),
        }
        match as_principals(&source.not_trust_domains, &excluded, findings) {
            Some(found) => judged.visible.not_principals.extend(found),
            None => self.invisible(excluded, judged, findings),
        }
    }
}

/// The principals of a trust domain.
fn principals_of(trust_domain: &StringMatch) -> Option<StringMatch> {
    match trust_domain {
        StringMatch::Exact(name) => Some(StringMatch::Prefix(Arc::from(format!("{name}/")))),
        StringMatch::Prefix(_) | StringMatch::Presence => Some(trust_domain.clone()),
        StringMatch::Suffix(_) => None,
    }
}

/// A service account says all that a principal and a namespace say, and the API allows no mixture.
pub(crate) fn check_exclusive(source: &resources::Source, at: &FieldPath, findings: &mut Findings<'_>) {
    let others = [
        (&source.principals, "principals"),
        (&source.not_principals, "notPrincipals"),
        (&source.namespaces, "namespaces"),
        (&source.not_namespaces, "notNamespaces"),
    ];
    for (name, accounts) in
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)]
    {
        if let Some((_, other)) = others.iter().find(|(values, _)| !values.is_empty() && !accounts.is_empty()) {
            findings.error(at.field(name), Problem::Exclusive { other });
        }
    }
}
