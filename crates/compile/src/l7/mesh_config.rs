//! MeshConfig, as far as routes and policies depend on it.

use std::collections::BTreeMap;

use ambit_l7::Retry;
use ambit_resources::MeshConfigSpec;
use ambit_resources::mesh_config::Provider;

use super::L7Problem;
use super::at::At;
use super::authorization::Authorizer;
use super::cx::Cx;
use super::virtual_service;

/// What the mesh configuration says to routes and policies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mesh {
    /// What is tried again where no route says so.
    pub(crate) retry: Option<Retry>,
    /// External authorizers by name.
    pub(crate) authorizers: BTreeMap<String, Authorizer>,
}

/// The name of the one object that counts, in the root namespace.
const NAME: &str = "default";

impl Mesh {
    /// What the object means; nothing for one that is not the one.
    pub(crate) fn prepare(spec: &MeshConfigSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let at = At::SPEC;
        let retries = spec.default_http_retry_policy.as_ref();
        let retry =
            retries.and_then(|retries| virtual_service::retry(retries, &at.field("defaultHttpRetryPolicy"), cx));
        let mut authorizers = BTreeMap::new();
        let list = at.field("extensionProviders");
        for (i, provider) in spec.extension_providers.iter().enumerate() {
            let at = list.index(i);
            let Some(authorizer) = authorizer(provider, &at, cx) else { continue };
            if authorizers.insert(provider.name.clone(), authorizer).is_some() {
                cx.error(&at.field("name"), L7Problem::Twice { name: provider.name.clone() });
            }
        }
        let own = &cx.origin.id;
        let counts = *own.name == *NAME && own.namespace == cx.options.root_namespace;
        if !counts {
            let reason = "only the one of the name default in the root namespace counts";
            cx.warning(&at, L7Problem::NoEffect { reason });
        }
        counts.then_some(Self { retry, authorizers })
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
