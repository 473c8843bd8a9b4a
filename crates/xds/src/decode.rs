//! From messages to the model.
//!
//! The bytes are another's. A body has a bound; what a field cannot mean is refused by name, never
//! guessed. What is left out of an object for lack of a place in the model only ever narrows what it does:
//! where leaving it out would widen it, or send traffic past what it was to go through, the object is
//! refused as a whole, and what was valid of that name before stays in force with whoever asked.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ambit_model::{
    Application, Authorization, GatewayAddress, HostPort, Interner, Labels, Locality, NodePod, PolicyKey, Service,
    ServiceKey, ServicePorts, Workload, WorkloadUid,
};
use bytes::{Buf, Bytes};
use prost::Message;

use crate::proto::{config, node, security, workload as message};

mod authorization;
mod service;
mod values;
mod waypoint;
mod workload;

/// The largest body read, in bytes. An object of the API server has at most 1.5 MiB, and messages can be
/// a hundred times as large decoded as they are encoded.
const MAX_BODY: usize = 2 << 20;

/// Reads resources. What many of them have in common shares one allocation, as long as one reader reads
/// them.
#[derive(Debug, Default)]
pub struct Decoder {
    texts: Interner<str>,
    services: Interner<ServicePorts>,
    localities: Interner<Locality>,
    applications: Interner<Application>,
    gateways: Interner<GatewayAddress>,
}

/// What an address resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A workload.
    Workload(Workload),
    /// A service.
    Service(Service),
}

/// The name of an address resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressName {
    /// A workload's uid.
    Workload(WorkloadUid),
    /// A service's `namespace/hostname`.
    Service(ServiceKey),
}

/// Why a resource is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{object}: {fault}")]
pub struct DecodeError {
    /// The resource's name.
    pub object: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a resource.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It is larger than any object is.
    #[error("{size} bytes are more than {MAX_BODY}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// It is not a message of its type.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field holds what it cannot mean.
    #[error("{field}: {value} is not valid")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A field asks for what cannot be done here, and cannot be left undone.
    #[error("{field} is not supported")]
    Unsupported {
        /// The field.
        field: &'static str,
    },
    /// There is something in it that this version does not know.
    #[error("it has fields that are unknown here")]
    UnknownFields,
    /// It is filed under a name that is not its own, by which it could not be removed again.
    #[error("its own name is {name:?}")]
    Name {
        /// Its own name.
        name: String,
    },
}

impl Decoder {
    /// Reads a workload or service.
    ///
    /// # Errors
    /// If it is not one, not that of this name, or cannot be represented.
    pub fn address(&mut self, name: &str, body: impl Buf) -> Result<Address, DecodeError> {
        of(name, || {
            let address = read::<message::Address>(body)?.r#type.ok_or(Fault::Missing { field: "type" })?;
            match address {
                message::address::Type::Workload(it) => {
                    let it = self.workload(it)?;
                    named(name, it.uid.as_str())?;
                    Ok(Address::Workload(it))
                }
                message::address::Type::Service(it) => {
                    let it = self.service(it)?;
                    named(name, &it.key)?;
                    Ok(Address::Service(it))
                }
            }
        })
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// If it is not one, not that of this name, or anything in it cannot be represented: a condition left
    /// out would allow what is to be denied.
    pub fn authorization(&mut self, name: &str, body: impl Buf) -> Result<Authorization, DecodeError> {
        of(name, || {
            let size = body.remaining();
            let policy = read::<security::Authorization>(body)?;
            // Unknown fields are dropped by the reader, wherever they stand. The encoding has one form, so
            // that a shorter one tells of them.
            if policy.encoded_len() != size {
                return Err(Fault::UnknownFields);
            }
            let policy = self.policy(policy)?;
            named(name, &policy.key)?;
            Ok(policy)
        })
    }

    /// Reads a pod of this node.
    ///
    /// # Errors
    /// As for [`Decoder::address`].
    pub fn pod(&mut self, name: &str, body: impl Buf) -> Result<NodePod, DecodeError> {
        of(name, || {
            let pod = read::<node::Pod>(body)?;
            let workload = self.workload(pod.workload.ok_or(Fault::Missing { field: "workload" })?)?;
            named(name, workload.uid.as_str())?;
            let pod_uid = values::required("pod_uid", pod.pod_uid)?.into();
            let netns = (!pod.netns.is_empty()).then(|| PathBuf::from(pod.netns));
            let host_ports = pod.host_ports.iter().map(host_port).collect::<Result<_, _>>()?;
            Ok(NodePod { workload: Arc::new(workload), pod_uid, enrol: pod.enrol, netns, host_ports })
        })
    }

    /// Reads the roots, each a certificate in DER.
    ///
    /// # Errors
    /// If it is not a list of roots, or an empty one.
    pub fn trust_bundle(&mut self, name: &str, body: impl Buf) -> Result<Vec<Bytes>, DecodeError> {
        of(name, || {
            let roots = read::<node::TrustBundle>(body)?.roots;
            if roots.is_empty() { Err(Fault::Missing { field: "roots" }) } else { Ok(roots) }
        })
    }

    /// Reads a user's object, which is for whoever compiles it to judge.
    ///
    /// # Errors
    /// If it is none, or not that of this name.
    pub fn object(&self, name: &str, body: impl Buf) -> Result<config::Object, DecodeError> {
        of(name, || {
            let object = read::<config::Object>(body)?;
            let config::Object { kind, namespace, name: own, .. } = &object;
            // What stands before it is the waypoint.
            let own = format!("{kind}/{namespace}/{own}");
            let rest = name.splitn(3, '/').nth(2).unwrap_or_default();
            if rest == own { Ok(object) } else { Err(Fault::Name { name: own }) }
        })
    }

    /// Reads the labels of a workload.
    ///
    /// # Errors
    /// If it is not a map of labels.
    pub fn labels(&mut self, name: &str, body: impl Buf) -> Result<Labels, DecodeError> {
        of(name, || {
            let labels = read::<config::Labels>(body)?.labels;
            Ok(labels.iter().map(|(key, value)| (self.texts.share(&**key), self.texts.share(&**value))).collect())
        })
    }

    /// Reads the name of a meshed namespace.
    ///
    /// # Errors
    /// If it is not that of this name.
    pub fn meshed_namespace(&mut self, name: &str, body: impl Buf) -> Result<Arc<str>, DecodeError> {
        of(name, || {
            let namespace = read::<node::MeshedNamespace>(body)?.name;
            named(name, &namespace)?;
            Ok(self.texts.share(values::required("name", namespace)?.as_str()))
        })
    }
}

fn host_port(it: &node::HostPort) -> Result<HostPort, Fault> {
    let address = if it.address.is_empty() { None } else { Some(values::ip("host_ports.address", &it.address)?) };
    let port = values::open_port("host_ports.port", it.port)?;
    Ok(HostPort { address, port, pod_port: values::open_port("host_ports.pod_port", it.pod_port)? })
}

impl AddressName {
    /// Reads the name of an address resource. Of the two kinds, that of a service has one slash.
    ///
    /// # Errors
    /// If it is neither's.
    pub fn parse(name: &str) -> Result<Self, DecodeError> {
        if name.split('/').count() > 2 {
            return Ok(Self::Workload(WorkloadUid::new(name)));
        }
        of(name, || Ok(Self::Service(values::service_key("name", name)?)))
    }
}

/// Reads the name of a policy, `namespace/name`.
///
/// # Errors
/// If it is not of that form.
pub fn policy_key(name: &str) -> Result<PolicyKey, DecodeError> {
    of(name, || values::policy_key("name", name))
}

fn of<T>(object: &str, read: impl FnOnce() -> Result<T, Fault>) -> Result<T, DecodeError> {
    read().map_err(|fault| DecodeError { object: object.to_owned(), fault })
}

fn read<M: Message + Default>(body: impl Buf) -> Result<M, Fault> {
    let size = body.remaining();
    if size > MAX_BODY { Err(Fault::TooLarge { size }) } else { Ok(M::decode(body)?) }
}

fn named(resource: &str, own: impl fmt::Display) -> Result<(), Fault> {
    let own = own.to_string();
    if resource == own { Ok(()) } else { Err(Fault::Name { name: own }) }
}

#[cfg(test)]
mod tests;
