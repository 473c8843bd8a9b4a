//! Which requests a rule is about.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::StringMatch;

/// What must hold of a request, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Its name, in logs.
    pub name: String,
    /// The path, without the query.
    pub uri: Option<StringMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The authority.
    pub authority: Option<StringMatch>,
    /// Headers there must be, by name; `{}` asks only that it is there.
    pub headers: BTreeMap<String, StringMatch>,
    /// The port asked for.
    pub port: Option<u16>,
    /// Labels of the client's workload, all of them.
    pub source_labels: BTreeMap<String, String>,
    /// The gateways it is for, in the place of those of the whole object.
    pub gateways: Vec<String>,
    /// Parameters of the query, by name.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Whether the case of the path counts for nothing; exact and prefix only.
    pub ignore_uri_case: bool,
    /// Headers there must not be; those of `headers` the other way round.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// The client's namespace.
    pub source_namespace: String,
    /// What statistics of the route are called.
    pub stat_prefix: String,
}
