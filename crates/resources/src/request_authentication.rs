//! RequestAuthentication: whose tokens are believed.

use serde::Deserialize;

use crate::{Duration, Metadata, TargetRef, WorkloadSelector};

/// A policy on tokens. A request with a token that is not valid is refused; one without is not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RequestAuthentication {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: RequestAuthenticationSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RequestAuthenticationSpec {
    /// The workloads it applies to; absent: all of its namespace.
    pub selector: Option<WorkloadSelector>,
    /// The old spelling of one of `targetRefs`.
    pub target_ref: Option<TargetRef>,
    /// The objects it is attached to.
    pub target_refs: Vec<TargetRef>,
    /// The tokens that are believed; each token must satisfy one.
    pub jwt_rules: Vec<JwtRule>,
}

/// Tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct JwtRule {
    /// Who issues them.
    pub issuer: String,
    /// Whom they must be for, one of these; none: anybody.
    pub audiences: Vec<String>,
    /// Where the keys are fetched.
    #[serde(alias = "jwks_uri")]
    pub jwks_uri: String,
    /// The keys themselves.
    pub jwks: String,
    /// The headers a token may be in; with no place given at all: `Authorization: Bearer`, and `access_token`.
    pub from_headers: Vec<JwtHeader>,
    /// The parameters of the query a token may be in.
    pub from_params: Vec<String>,
    /// The cookies a token may be in.
    pub from_cookies: Vec<String>,
    /// The header in which the token's payload goes on.
    pub output_payload_to_header: String,
    /// The headers in which single claims go on.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// Whether the token itself goes on.
    pub forward_original_token: bool,
    /// How long fetching the keys may take.
    pub timeout: Option<Duration>,
    /// Claims that are lists, written with spaces between, besides `scope` and `permission`.
    pub space_delimited_claims: Vec<String>,
}

/// A header a token may be in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct JwtHeader {
    /// Its name.
    pub name: String,
    /// What stands before the token, the space included.
    pub prefix: String,
}

/// A claim that goes on in a header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimToHeader {
    /// The header.
    pub header: String,
    /// The claim; a dot leads into it.
    pub claim: String,
}
