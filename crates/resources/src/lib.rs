//! The users' objects: Kubernetes' own and the mesh's policies, read by hand-written types from YAML, or
//! as the API server sends them.
//!
//! What a file says that these types do not know is never dropped in silence: in a policy it is an
//! error, since a policy field that is ignored is a security hole; in a Kubernetes object it is a
//! warning, unless Kubernetes itself has the field. What the fields *mean* is not known here: see
//! `ambit-compile`.
//!
//! To add a kind: a file with its types and its table of fields, and a line in [`Kind`]'s registry.

mod authorization_policy;
mod document;
mod endpoint_slice;
mod field_path;
mod file;
mod issue;
mod kind;
mod lines;
mod metadata;
mod namespace;
mod node;
mod object;
mod peer_authentication;
mod pod;
mod read;
mod read_object;
#[cfg(feature = "schema")]
mod schema;
mod selector;
mod service;
mod service_account;
mod service_entry;
mod strict;
mod unknown_field;
mod workload_entry;

pub use authorization_policy::{
    Action, AuthorizationPolicy, AuthorizationPolicySpec, Condition, ExtensionProvider, Operation, Rule, RuleFrom,
    RuleTo, Source,
};
pub use endpoint_slice::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference};
pub use field_path::FieldPath;
pub use file::{MAX_FILE_BYTES, ParsedFile, parse_file};
pub use issue::{Issue, Problem, Severity};
pub use kind::Kind;
pub use lines::Lines;
pub use metadata::{Metadata, OwnerReference, Timestamp, is_name};
pub use namespace::Namespace;
pub use node::{Node, NodeAddress, NodeStatus};
pub use object::{Object, ObjectId, Origin, Parsed};
pub use peer_authentication::{Mode, MutualTls, PeerAuthentication, PeerAuthenticationSpec};
pub use pod::{Container, ContainerPort, Pod, PodCondition, PodIp, PodSpec, PodStatus};
pub use read_object::{Readable, Refusal, parse_object};
#[cfg(feature = "schema")]
pub use schema::spec_schema;
pub use selector::{TargetRef, WorkloadSelector};
pub use service::{PortName, Service, ServicePort, ServiceSpec};
pub use service_account::ServiceAccount;
pub use service_entry::{EntrySelector, Location, Resolution, ServiceEntry, ServiceEntryPort, ServiceEntrySpec};
pub use workload_entry::{WorkloadEntry, WorkloadEntrySpec};
