//! One rule: `from`, `to` and `when`, ANDed.

use std::sync::Arc;

use ambit_l7::{HttpAuthorizationRule, Operation, PathPattern, PathTemplate, Pattern, Source};
use ambit_model::{ServiceAccountMatch, StringMatch};
use ambit_resources::{self as resources, FieldPath};

use super::condition::condition;
use crate::Problem;
use crate::authorization::source::check_exclusive;
use crate::authorization::values;
use crate::findings::Findings;
use crate::l7::L7Problem;
use crate::l7::cx::Cx;

pub(super) fn rule(written: &resources::Rule, at: &FieldPath, cx: &mut Cx<'_>) -> HttpAuthorizationRule {
    let from = written.from.iter().enumerate();
    let to = written.to.iter().enumerate();
    let when = written.when.iter().enumerate();
    HttpAuthorizationRule {
        from: from.map(|(i, of)| source(&of.source, &at.field("from").index(i).field("source"), cx)).collect(),
        to: to.map(|(i, of)| operation(&of.operation, &at.field("to").index(i).field("operation"), cx)).collect(),
        when: when.filter_map(|(i, of)| condition(of, &at.field("when").index(i), cx)).collect(),
    }
}

fn source(written: &resources::Source, at: &FieldPath, cx: &mut Cx<'_>) -> Source {
    if *written == resources::Source::default() {
        cx.findings.error(at.clone(), Problem::Empty);
    }
    check_exclusive(written, at, &mut cx.findings);
    let namespace = Arc::clone(cx.namespace());
    let findings = &mut cx.findings;
    let mut texts = |values: &[String], field: &str| patterns(values, &at.field(field), findings);
    let mut source = Source {
        request_principals: texts(&written.request_principals, "requestPrincipals"),
        not_request_principals: texts(&written.not_request_principals, "notRequestPrincipals"),
        namespaces: texts(&written.namespaces, "namespaces"),
        not_namespaces: texts(&written.not_namespaces, "notNamespaces"),
        trust_domains: texts(&written.trust_domains, "trustDomains"),
        not_trust_domains: texts(&written.not_trust_domains, "notTrustDomains"),
        ..Source::default()
    };
    source.principals = principals(&written.principals, &at.field("principals"), findings);
    source.not_principals = principals(&written.not_principals, &at.field("notPrincipals"), findings);
    let mut accounts =
        |values: &[String], field: &str| service_accounts(values, &namespace, &at.field(field), findings);
    source.service_accounts = accounts(&written.service_accounts, "serviceAccounts");
    source.not_service_accounts = accounts(&written.not_service_accounts, "notServiceAccounts");
    let mut blocks = |values: &[String], field: &str| values::blocks(values, &at.field(field), findings);
    source.ip_blocks = blocks(&written.ip_blocks, "ipBlocks");
    source.not_ip_blocks = blocks(&written.not_ip_blocks, "notIpBlocks");
    source.remote_ip_blocks = blocks(&written.remote_ip_blocks, "remoteIpBlocks");
    source.not_remote_ip_blocks = blocks(&written.not_remote_ip_blocks, "notRemoteIpBlocks");
    source
}

fn operation(written: &resources::Operation, at: &FieldPath, cx: &mut Cx<'_>) -> Operation {
    if *written == resources::Operation::default() {
        cx.findings.error(at.clone(), Problem::Empty);
    }
    let findings = &mut cx.findings;
    let mut hosts = |values: &[String], field: &str| {
        let lower: Vec<_> = values.iter().map(|host| host.to_lowercase()).collect();
        patterns(&lower, &at.field(field), findings)
    };
    let (wanted, excluded) = (hosts(&written.hosts, "hosts"), hosts(&written.not_hosts, "notHosts"));
    Operation {
        hosts: wanted,
        not_hosts: excluded,
        ports: values::ports(&written.ports, &at.field("ports"), findings),
        not_ports: values::ports(&written.not_ports, &at.field("notPorts"), findings),
        methods: patterns(&written.methods, &at.field("methods"), findings),
        not_methods: patterns(&written.not_methods, &at.field("notMethods"), findings),
        paths: paths(&written.paths, &at.field("paths"), findings),
        not_paths: paths(&written.not_paths, &at.field("notPaths"), findings),
    }
}

/// Texts with the users' stars.
pub(crate) fn patterns(written: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<Pattern> {
    values::patterns(written, at, findings).into_iter().map(pattern).collect()
}

pub(crate) fn principals(written: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<Pattern> {
    values::principals(written, at, findings).into_iter().map(pattern).collect()
}

pub(super) fn service_accounts(
    written: &[String],
    namespace: &str,
    at: &FieldPath,
    findings: &mut Findings<'_>,
) -> Vec<Pattern> {
    let whole = |of: ServiceAccountMatch| Pattern::Exact(format!("{}/{}", of.namespace, of.service_account).into());
    values::service_accounts(written, namespace, at, findings).into_iter().map(whole).collect()
}

fn pattern(written: StringMatch) -> Pattern {
    match written {
        StringMatch::Exact(text) => Pattern::Exact(text),
        StringMatch::Prefix(text) => Pattern::Prefix(text),
        StringMatch::Suffix(text) => Pattern::Suffix(text),
        StringMatch::Presence => Pattern::Present,
    }
}

/// Paths: with a star at one end, or templates.
fn paths(written: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<PathPattern> {
    let mut found = Vec::with_capacity(written.len());
    for (i, path) in written.iter().enumerate() {
        let one = if path.contains('{') {
            let template = PathTemplate::parse(path).map(PathPattern::Template);
            template.map_err(|error| L7Problem::PathTemplate { detail: error.to_string() }.into())
        } else {
            values::pattern(path).map(pattern).map(PathPattern::Text)
        };
        match one {
            Ok(one) => found.push(one),
            Err(problem) => findings.error(at.index(i), problem),
        }
    }
    found
}
