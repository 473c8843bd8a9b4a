//! The users' objects: Kubernetes' own and the mesh's policies, read by hand-written types from YAML, or
//! as the API server sends them.
//!
//! What a file says that these types do not know is never dropped in silence: in a policy or a route it is an
//! error, since a condition that is ignored is a security hole; in a Kubernetes object it is a
//! warning, unless Kubernetes itself has the field. What the fields *mean* is not known here: see
//! `ambit-compile`.
//!
//! To add a kind: a file with its types, and a line in [`Kind`]'s registry.

mod authorization_policy;
pub mod destination_rule;
mod document;
mod duration;
mod endpoint_slice;
#[cfg(test)]
mod examples;
mod field_path;
mod fields_of;
mod file;
pub mod gateway_api;
mod issue;
mod kind;
mod lines;
pub mod mesh_config;
mod metadata;
mod namespace;
mod node;
mod object;
mod peer_authentication;
mod percentage;
mod pod;
pub mod rate_limit_policy;
mod read;
mod read_object;
pub mod request_authentication;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod selector;
mod service;
mod service_account;
mod service_entry;
mod strict;
mod string_match;
pub mod telemetry;
mod unknown_field;
pub mod virtual_service;
mod workload_entry;

pub use authorization_policy::{
    Action, AuthorizationPolicy, AuthorizationPolicySpec, Condition, ExtensionProvider, Operation, Rule, RuleFrom,
    RuleTo, Source,
};
pub use destination_rule::{DestinationRule, DestinationRuleSpec};
pub use duration::{Duration, DurationError, GatewayDuration};
pub use endpoint_slice::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference};
pub use field_path::FieldPath;
pub use file::{Documents, MAX_FILE_BYTES, ParsedFile, parse_file};
pub use gateway_api::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute, ReferenceGrant, TcpRoute, TlsRoute,
};
pub use issue::{Issue, Problem, Severity};
pub use kind::Kind;
pub use lines::Lines;
pub use mesh_config::{MeshConfig, MeshConfigSpec};
pub use metadata::{Metadata, OwnerReference, Timestamp, is_name};
pub use namespace::Namespace;
pub use node::{Node, NodeAddress, NodeStatus};
pub use object::{Object, ObjectId, Origin, Parsed};
pub use peer_authentication::{Mode, MutualTls, PeerAuthentication, PeerAuthenticationSpec};
pub use percentage::{Finite, NotFinite, Percent, Percentage, PercentageError};
pub use pod::{Container, ContainerPort, Pod, PodCondition, PodIp, PodSpec, PodStatus};
pub use rate_limit_policy::{RateLimitPolicy, RateLimitPolicySpec};
pub use read_object::{Readable, Refusal, parse_object};
pub use request_authentication::{RequestAuthentication, RequestAuthenticationSpec};
#[cfg(feature = "schema")]
pub use schema::spec_schema;
pub use secret::{ConfigMap, Hidden, Secret};
pub use selector::{TargetRef, WorkloadSelector};
pub use service::{PortName, Service, ServicePort, ServiceSpec};
pub use service_account::ServiceAccount;
pub use service_entry::{EntrySelector, Location, Resolution, ServiceEntry, ServiceEntryPort, ServiceEntrySpec};
pub use string_match::StringMatch;
pub use telemetry::{Telemetry, TelemetrySpec};
pub use virtual_service::{VirtualService, VirtualServiceSpec};
pub use workload_entry::{WorkloadEntry, WorkloadEntrySpec};
