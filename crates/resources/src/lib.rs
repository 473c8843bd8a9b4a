//! The users' objects: Kubernetes' own and the mesh's policies, read from YAML by hand-written types.
//!
//! What a file says that these types do not know is never dropped in silence: in a policy it is an
//! error, since a policy field that is ignored is a security hole; in a Kubernetes object it is a
//! warning, unless Kubernetes itself has the field. What the fields *mean* is not known here: see
//! `ambit-compile`.
//!
//! To add a kind: a file with its types and its table of fields, and a line in [`Kind`]'s registry.

mod authorization_policy;
mod document;
mod field_path;
mod file;
mod issue;
mod kind;
mod lines;
mod metadata;
mod namespace;
mod object;
mod peer_authentication;
mod pod;
mod read;
mod selector;
mod service;
mod service_account;
mod strict;
mod unknown_field;

pub use authorization_policy::{
    Action, AuthorizationPolicy, AuthorizationPolicySpec, Condition, ExtensionProvider, Operation, Rule, RuleFrom,
    RuleTo, Source,
};
pub use field_path::FieldPath;
pub use file::{MAX_FILE_BYTES, ParsedFile, parse_file};
pub use issue::{Issue, Problem, Severity};
pub use kind::Kind;
pub use lines::Lines;
pub use metadata::{Metadata, OwnerReference, Timestamp, is_name};
pub use namespace::Namespace;
pub use object::{Object, ObjectId, Origin, Parsed};
pub use peer_authentication::{Mode, MutualTls, PeerAuthentication, PeerAuthenticationSpec};
pub use pod::{Container, ContainerPort, Pod, PodCondition, PodIp, PodSpec, PodStatus};
pub use selector::{TargetRef, WorkloadSelector};
pub use service::{PortName, Service, ServicePort, ServiceSpec};
pub use service_account::ServiceAccount;
