//! Work done at the same time.

use std::panic::resume_unwind;
use std::thread;

use anyhow::Result;

/// Does all of it at once, a thread each; a panic goes on in the caller.
///
/// # Errors
/// Fails with the first of the failures, once all have ended.
pub(crate) fn together<T: Send>(work: impl IntoIterator<Item = impl FnOnce() -> Result<T> + Send>) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> = work.into_iter().map(|work| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.collect::<Vec<_>>().into_iter().collect()
    })
}
