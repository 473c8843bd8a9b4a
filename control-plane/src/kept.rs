//! Objects of the cluster that carry the mesh's roots, kept right whoever changes them.
//!
//! Every replica keeps them: all have the same roots, from one Secret, so what one writes the others find
//! right.

pub(crate) mod ca_bundle;
mod contest;
pub(crate) mod roots_config_map;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::Roots;
use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::failure::error_chain;
use contest::Contest;

/// Pauses after failures.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Follows the object `name` and the roots. `write` is called with the object, if there is one, after every
/// change of either, makes right what is not, and says whether it had to.
async fn keep<K, W, F>(api: Api<K>, name: &str, mut roots: watch::Receiver<Arc<Roots>>, write: W)
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    W: Fn(Api<K>, Option<K>, String) -> F,
    F: Future<Output = Result<bool, kube::Error>>,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = std::pin::pin!(watcher(api.clone(), only));
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let (mut found, mut contest) = (Found::Unknown, Contest::default());
    loop {
        tokio::select! {
            changed = roots.changed() => if changed.is_err() {
                return; // the authority is gone: the process is ending
            },
            Some(change) = changes.next() => match change {
                Ok(change) => found.take(change),
                Err(error) => {
                    tracing::warn!(name, error = error_chain(&error), "cannot watch what is to be kept right");
                    tokio::time::sleep(backoff.next()).await;
                    continue;
                }
            },
        }
        let Found::Known(object) = &found else { continue };
        let pem = roots.borrow_and_update().to_pem();
        match write(api.clone(), object.clone(), pem).await {
            Ok(wrote) => {
                backoff.reset();
                if let Some(pause) = wrote.then(|| contest.wrote(name)).flatten() {
                    tokio::time::sleep(pause).await;
                }
            }
            Err(error) => {
                tracing::warn!(name, error = error_chain(&error), "cannot keep right");
                tokio::time::sleep(backoff.next()).await;
                roots.mark_changed();
            }
        }
    }
}

/// What is known of the object.
enum Found<K> {
    /// Not whether there is one.
    Unknown,
    /// This one, in a list that is not complete.
    Listed(K),
    /// Whether there is one, and which.
    Known(Option<K>),
}

impl<K> Found<K> {
    fn take(&mut self, change: Event<K>) {
        *self = match change {
            Event::Init => Self::Unknown,
            Event::InitApply(object) => Self::Listed(object),
            Event::InitDone => match std::mem::replace(self, Self::Unknown) {
                Self::Listed(object) => Self::Known(Some(object)),
                Self::Unknown | Self::Known(_) => Self::Known(None),
            },
            Event::Apply(object) => Self::Known(Some(object)),
            Event::Delete(_) => Self::Known(None),
        };
    }
}
