//! Keeps the list of meshed namespaces that the plugin goes by while the agent is away.

use std::path::PathBuf;
use std::time::Duration;

use ambit_runtime::{Condition, Drain};

use super::MeshedNamespaces;
use crate::failure::error_chain;

/// How soon a list that could not be written is written again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Writes the list whenever it changes, for as long as the process runs. A list that is not known yet
/// leaves the file as it is: it is what was last known.
pub(super) async fn keep(path: PathBuf, mut meshed: MeshedNamespaces, written: Condition, drain: Drain) {
    loop {
        let known = meshed.borrow_and_update().clone();
        let namespaces = known.iter().flat_map(|known| known.iter()).map(|name| name.as_ref().to_owned());
        let outcome = known.as_ref().map(|_| ambit_cni::meshed::write(&path, namespaces.collect()));
        let failed = matches!(outcome, Some(Err(_)));
        match outcome {
            Some(Err(error)) => written.failed(error_chain(&error)),
            Some(Ok(())) | None => written.ok(),
        }
        tokio::select! {
            () = drain.cut_off().cancelled() => return,
            () = tokio::time::sleep(TRY_AGAIN), if failed => {}
            changed = meshed.changed() => if changed.is_err() {
                // Who knew is gone, as in a drain; what was last known stays.
                return drain.cut_off().cancelled().await;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use ambit_cni::meshed;
    use ambit_runtime::Readiness;
    use tokio::sync::watch;

    use super::*;

    async fn until(mut holds: impl FnMut() -> bool) {
        while !holds() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn the_file_follows_what_is_known_and_outlives_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cni/list.json");
        let shop = BTreeSet::from(["shop".to_owned()]);
        meshed::write(&path, shop.clone()).unwrap();
        let (readiness, drain) = (Readiness::default(), Drain::default());
        let (known, receiver) = watch::channel(None);
        let kept = tokio::spawn(keep(path.clone(), receiver, readiness.condition("list"), drain.clone()));
        until(|| readiness.check().is_ok()).await;
        assert_eq!(meshed::read(&path).unwrap(), shop);

        for names in [&["bank", "shop"][..], &[]] {
            let names: BTreeSet<Arc<str>> = names.iter().map(|&name| name.into()).collect();
            let expected = names.iter().map(|name| name.as_ref().to_owned()).collect();
            known.send_replace(Some(Arc::new(names)));
            until(|| meshed::read(&path).is_ok_and(|read| read == expected)).await;
        }

        // A folder in the file's place: it cannot be written, and once it can it is.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        known.send_replace(Some(Arc::new(BTreeSet::from(["shop".into()]))));
        until(|| readiness.check().is_err()).await;
        std::fs::remove_dir(&path).unwrap();
        until(|| meshed::read(&path).is_ok_and(|read| read == shop)).await;
        drop(known);
        drain.finish(Duration::ZERO, std::future::pending()).await;
        kept.await.unwrap();
        assert_eq!(meshed::read(&path).unwrap(), shop);
    }
}
