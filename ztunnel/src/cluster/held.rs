//! The resources in force, as they came: to be kept over restarts, and to tell the control plane what need
//! not be sent again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_xds::TypeUrl;
use bytes::Bytes;

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its version, as the control plane calls it.
    pub(crate) version: Arc<str>,
    /// The message.
    pub(crate) body: Bytes,
}

/// The resources in force, by type and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held(BTreeMap<TypeUrl, BTreeMap<Arc<str>, Kept>>);

impl Held {
    /// Puts a resource in.
    pub(crate) fn insert(&mut self, of: TypeUrl, name: Arc<str>, kept: Kept) {
        self.0.entry(of).or_default().insert(name, kept);
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, of: TypeUrl, name: &str) {
        if let Some(names) = self.0.get_mut(&of) {
            names.remove(name);
        }
    }

    /// One resource.
    pub(crate) fn find(&self, of: TypeUrl, name: &str) -> Option<&Kept> {
        self.0.get(&of)?.get(name)
    }

    /// All resources.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TypeUrl, &Arc<str>, &Kept)> {
        self.0.iter().flat_map(|(of, names)| names.iter().map(|(name, kept)| (*of, name, kept)))
    }

    /// What the control plane is told at the start.
    pub(crate) fn versions(&self) -> ambit_xds::Held {
        let of_type = |names: &BTreeMap<Arc<str>, Kept>| {
            names.iter().map(|(name, kept)| (Arc::clone(name), Arc::clone(&kept.version))).collect()
        };
        self.0.iter().map(|(of, names)| (*of, of_type(names))).collect()
    }
}
