//! Host names of endpoints: looked up where this waypoint runs, as its pod resolves names.

use std::time::Duration;

use ambit_names::{Book, Found, system};
use ambit_runtime::Condition;

use crate::outlet::{Place, Published};

/// Looks up the host names of what is published, for as long as they are wanted. `looked_up` holds once each of the
/// first ones was, or had its time.
pub(crate) async fn look_up(place: Place, mut published: Published, refresh: Duration, looked_up: Condition) {
    published.first().await;
    let mut book = Book::new(refresh, system);
    loop {
        for name in book.want(&published.load().snapshot.host_names().cloned().collect()) {
            place.learn(name, None);
        }
        if book.is_complete() {
            looked_up.ok();
        }
        tokio::select! {
            () = published.changed() => {}
            found = book.next() => if let Some(Found { name, addresses }) = found {
                place.learn(name, Some(addresses));
            },
        }
    }
}
