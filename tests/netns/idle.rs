//! Connections on which nobody says a word stay what they are: nothing here has an idle timeout.

use std::time::Duration;
use std::{env, thread};

use anyhow::{Context as _, Result};

use ambit_tests::Connection;

use crate::shop::{PORT, Shop};

/// How long they are idle, in seconds. CI has no hours to wait; this was run with 7200, too.
const SECONDS: &str = "AMBIT_IDLE_SECONDS";

#[test]
#[expect(clippy::disallowed_methods, reason = "a setting of this test alone")]
fn idle_connections_are_left_alone() -> Result<()> {
    let seconds = match env::var(SECONDS) {
        Ok(text) => text.parse().with_context(|| format!("{SECONDS}={text}"))?,
        Err(_) => 30,
    };
    let shop = Shop::open()?;
    let mut idle = vec![
        Connection::established(&shop.client.netns(), shop.service)?,
        Connection::established(&shop.client.netns(), shop.service6)?,
        Connection::established(&shop.other.netns(), shop.web.at(PORT))?,
        // Not enrolled: plaintext, judged at the server's node.
        Connection::established(&shop.plain.netns(), shop.web.at(PORT))?,
    ];
    thread::sleep(Duration::from_secs(seconds));
    for connection in &mut idle {
        connection.ask("still there").answer()?;
    }
    Ok(())
}
