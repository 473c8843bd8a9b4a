//! The objects by kind, for one compilation.

use std::collections::BTreeMap;

use ambit_resources::{AuthorizationPolicy, Metadata, Object, Origin, Parsed, PeerAuthentication, Pod, Service};

/// An object with its name.
#[derive(Debug)]
pub(crate) struct Item<'a, T> {
    pub(crate) origin: &'a Origin,
    pub(crate) object: &'a T,
}

impl<'a, T> Item<'a, T> {
    pub(crate) fn namespace(&self) -> &'a str {
        &self.origin.id.namespace
    }
}

/// The objects by kind, each list in the order of its names.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    namespaces: BTreeMap<&'a str, &'a Metadata>,
    pub(crate) pods: Vec<Item<'a, Pod>>,
    services: BTreeMap<&'a str, Vec<Item<'a, Service>>>,
    pub(crate) authorization_policies: Vec<Item<'a, AuthorizationPolicy>>,
    pub(crate) peer_authentications: Vec<Item<'a, PeerAuthentication>>,
}

impl<'a> Index<'a> {
    /// Sorts objects, which come in the order of their names, into their lists.
    pub(crate) fn of(objects: impl Iterator<Item = &'a Parsed>) -> Self {
        let mut index = Self::default();
        for Parsed { origin, object } in objects {
            match object {
                Object::Namespace(object) => {
                    index.namespaces.insert(&origin.id.name, &object.metadata);
                }
                Object::ServiceAccount(_) => {}
                Object::Pod(object) => index.pods.push(Item { origin, object }),
                Object::Service(object) => {
                    index.services.entry(&origin.id.namespace).or_default().push(Item { origin, object });
                }
                Object::AuthorizationPolicy(object) => index.authorization_policies.push(Item { origin, object }),
                Object::PeerAuthentication(object) => index.peer_authentications.push(Item { origin, object }),
            }
        }
        index
    }

    /// What a namespace says about itself, where there is an object for it.
    pub(crate) fn namespace(&self, name: &str) -> Option<&'a Metadata> {
        self.namespaces.get(name).copied()
    }

    /// The services of a namespace.
    pub(crate) fn services_of(&self, namespace: &str) -> &[Item<'a, Service>] {
        self.services.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// All services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Item<'a, Service>> {
        self.services.values().flatten()
    }
}
