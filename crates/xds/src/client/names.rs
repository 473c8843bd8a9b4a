//! The names wanted on demand. They outlive streams.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::TypeUrl;

/// The names wanted of types that are subscribed to on demand. Clones are handles to the same names.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    changed: Notify,
}

pub(super) type Wanted = HashMap<TypeUrl, BTreeSet<Arc<str>>>;

impl Names {
    /// Wants resources, by name or alias. One that does not exist is answered as removed, and sent should
    /// it come to be.
    pub fn subscribe(&self, type_url: TypeUrl, names: impl IntoIterator<Item = impl Into<Arc<str>>>) {
        self.lock().entry(type_url).or_default().extend(names.into_iter().map(Into::into));
        self.0.changed.notify_one();
    }

    /// Wants them no more.
    pub fn unsubscribe(&self, type_url: TypeUrl, names: impl IntoIterator<Item = impl AsRef<str>>) {
        if let Some(wanted) = self.lock().get_mut(&type_url) {
            names.into_iter().for_each(|name| {
                wanted.remove(name.as_ref());
            });
        }
        self.0.changed.notify_one();
    }

    pub(super) fn wanted(&self) -> Wanted {
        self.lock().clone()
    }

    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        // Whoever panicked while holding it left a set of names, which is all it need be.
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
