//! MeshConfig.

use std::collections::BTreeMap;

use ambit_l7::{PathNormalization, Retry};
use ambit_resources::MeshConfigSpec;
use ambit_resources::mesh_config::{GatewayTopology, Normalization, Provider};

use super::L7Problem;
use super::at::At;
use super::authorization::Authorizer;
use super::cx::Cx;
use super::telemetry::Reporting;
use super::virtual_service;
use crate::exports::{self, MESH_CONFIG};

/// What the mesh configuration says to routes and policies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mesh {
    /// What is tried again where no route says so.
    pub(crate) retry: Option<Retry>,
    /// What becomes of paths.
    pub(crate) path_normalization: PathNormalization,
    /// External authorizers by name.
    pub(crate) authorizers: BTreeMap<String, Authorizer>,
    /// Who is told of requests.
    pub(crate) reporting: Reporting,
    /// What stands before waypoints, where their Gateways do not say so.
    pub(crate) topology: GatewayTopology,
    /// Who sees what does not say so.
    pub(crate) exports: Exports,
}

/// The namespaces that see what does not say so; none: all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exports {
    pub(crate) virtual_services: Vec<String>,
    pub(crate) destination_rules: Vec<String>,
}

impl Default for Mesh {
    fn default() -> Self {
        let (retry, path_normalization) = (None, PathNormalization::default());
        let (authorizers, topology) = (BTreeMap::new(), GatewayTopology::default());
        Self {
            retry,
            path_normalization,
            authorizers,
            reporting: Reporting::built_in(),
            topology,
            exports: Exports::default(),
        }
    }
}

impl Mesh {
    /// What the object means; nothing for one that is not the one.
    pub(crate) fn prepare(spec: &MeshConfigSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let at = At::SPEC;
        let retries = spec.default_http_retry_policy.as_ref();
        let retry =
            retries.and_then(|retries| virtual_service::retry(retries, &at.field("defaultHttpRetryPolicy"), cx));
        let paths = spec.path_normalization.as_ref().map(|paths| paths.normalization).unwrap_or_default();
        say_what_has_no_effect(spec, &at, cx);
        let mut authorizers = BTreeMap::new();
        let list = at.field("extensionProviders");
        for (i, provider) in spec.extension_providers.iter().enumerate() {
            let at = list.index(i);
            say_of_provider(provider, &at, cx);
            let Some(authorizer) = authorizer(provider, &at, cx) else { continue };
            if authorizers.insert(provider.name.clone(), authorizer).is_some() {
                cx.error(&at.field("name"), L7Problem::Twice { name: provider.name.clone() });
            }
        }
        let reporting = Reporting::prepare(spec, &at, cx);
        let own = &cx.origin.id;
        let counts = *own.name == *MESH_CONFIG && own.namespace == cx.options.root_namespace;
        if !counts {
            let reason = "only the one of the name default in the root namespace counts";
            cx.warning(&at, L7Problem::NoEffect { reason });
        }
        let topology = spec.default_config.clone().and_then(|config| config.gateway_topology).unwrap_or_default();
        counts.then_some(Self {
            retry,
            path_normalization: normalization(paths),
            authorizers,
            reporting,
            topology,
            exports: exports(spec, &at, cx),
        })
    }
}

fn exports(spec: &MeshConfigSpec, at: &At<'_>, cx: &mut Cx<'_>) -> Exports {
    for (field, list) in [
        ("defaultServiceExportTo", &spec.default_service_export_to),
        ("defaultVirtualServiceExportTo", &spec.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", &spec.default_destination_rule_export_to),
    ] {
        let at = at.field(field);
        list.iter().enumerate().for_each(|(i, name)| exports::check(name, at.index(i).path(), &mut cx.findings));
    }
    Exports {
        virtual_services: spec.default_virtual_service_export_to.clone(),
        destination_rules: spec.default_destination_rule_export_to.clone(),
    }
}

fn normalization(written: Normalization) -> PathNormalization {
    match written {
        Normalization::Default | Normalization::Base => PathNormalization::Base,
        Normalization::None => PathNormalization::None,
        Normalization::MergeSlashes => PathNormalization::MergeSlashes,
        Normalization::DecodeAndMergeSlashes => PathNormalization::DecodeAndMergeSlashes,
    }
}

/// Fields that are understood, and that waypoints do not act upon: whoever writes one must not believe they do.
fn say_what_has_no_effect(spec: &MeshConfigSpec, at: &At<'_>, cx: &mut Cx<'_>) {
    for (field, is_set) in
        [("connectTimeout", spec.connect_timeout.is_some()), ("localityLbSetting", spec.locality_lb_setting.is_some())]
    {
        if is_set {
            cx.warning(&at.field(field), L7Problem::NoEffect { reason: NOT_YET });
        }
    }
}

/// Why what waypoints do not act upon has no effect.
const NOT_YET: &str = "waypoints do not act upon it yet";

/// What a provider says beside whom to ask.
fn say_of_provider(provider: &Provider, at: &At<'_>, cx: &mut Cx<'_>) {
    let clears = [
        ("envoyExtAuthzHttp", provider.envoy_ext_authz_http.as_ref().is_some_and(|http| http.clear_route_cache)),
        ("envoyExtAuthzGrpc", provider.envoy_ext_authz_grpc.as_ref().is_some_and(|grpc| grpc.clear_route_cache)),
    ];
    for (field, _) in clears.iter().filter(|(_, clears)| *clears) {
        let at = at.field(field);
        let reason = "a request keeps the route it was judged by";
        cx.warning(&at.field("clearRouteCache"), L7Problem::NoEffect { reason });
    }
}

fn authorizer(provider: &Provider, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Authorizer> {
    match (&provider.envoy_ext_authz_http, &provider.envoy_ext_authz_grpc) {
        (Some(http), None) => Some(Authorizer::http(&provider.name, http, &at.field("envoyExtAuthzHttp"), cx)),
        (None, Some(grpc)) => Some(Authorizer::grpc(&provider.name, grpc, &at.field("envoyExtAuthzGrpc"), cx)),
        (Some(_), Some(_)) => {
            cx.error(&at.field("envoyExtAuthzGrpc"), L7Problem::Exclusive { other: "envoyExtAuthzHttp" });
            None
        }
        (None, None) => None,
    }
}
