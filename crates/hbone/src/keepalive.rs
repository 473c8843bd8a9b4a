//! PINGs, by which either side notices a peer that is gone without a word.

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

/// How a dead peer is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Time from an answer to the next PING.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl Keepalive {
    /// Ends when the peer owes an answer for too long, and when the tunnel is closed anyway.
    pub(crate) async fn watch(self, ping: Option<PingPong>) {
        let Some(mut ping) = ping else { return std::future::pending().await };
        loop {
            sleep(self.interval).await;
            if !matches!(timeout(self.timeout, ping.ping(Ping::opaque())).await, Ok(Ok(_))) {
                return;
            }
        }
    }
}
