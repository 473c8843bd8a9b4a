//! Host names of endpoints: looked up where this agent runs, as its node resolves names.

use std::time::Duration;

use ambit_names::{Book, Found, system};
use ambit_runtime::Condition;

use crate::outlet::Outlet;

/// Looks up the host names of what is published, for as long as they are wanted. `looked_up` holds once each of the
/// first ones was, or had its time.
pub(crate) async fn look_up(outlet: Outlet, refresh: Duration, looked_up: Condition) {
    let mut versions = outlet.version.subscribe();
    if versions.wait_for(|version| *version > 0).await.is_err() {
        return;
    }
    let mut book = Book::new(refresh, system);
    loop {
        for name in book.want(&outlet.state.load().host_names().cloned().collect()) {
            outlet.learn(name, None);
        }
        if book.is_complete() {
            looked_up.ok();
        }
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { return },
            found = book.next() => if let Some(Found { name, addresses }) = found {
                outlet.learn(name, Some(addresses));
            },
        }
    }
}
