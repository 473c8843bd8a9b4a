//! Step 11: the backend. An endpoint is chosen, connected to, asked; where that fails, and may be tried again,
//! the next one.
//!
//! | what | file |
//! | --- | --- |
//! | attempts, until one is good enough | `exchange.rs`, `retry.rs`, `attempt.rs` |
//! | a body for several attempts | `replay.rs` |
//! | the endpoint of an attempt | `target.rs`, `groups.rs`, `hash.rs`, `ambit_balance` |
//! | connections kept for reuse | `pool.rs` |
//! | a new one: tunnel, PROXY header, TLS | `dial.rs`, `channel.rs`, `preamble.rs`, `tls.rs` |
//! | head and body of an answer | `head.rs`, `answer.rs` |
//! | bytes of which nothing is known | `pass.rs` |
//! | copies of requests | `mirror.rs` |

mod answer;
mod attempt;
mod channel;
mod dial;
mod exchange;
mod groups;
mod hash;
mod head;
mod mirror;
mod pass;
mod pool;
mod preamble;
mod replay;
mod retry;
mod target;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::Settings;
use ambit_l7::TrafficPolicy;

use crate::worker::Worker;
use dial::Tunnels;
use groups::View;
use pool::Pools;
use tls::Configurations;

pub(crate) use exchange::send;
pub(crate) use groups::Groups;
pub(crate) use mirror::{mirror, tee};
pub(crate) use pass::connect;

/// How long a tunnel without streams is kept, as node agents keep them.
const TUNNEL_IDLE: Duration = Duration::from_secs(300);

/// What a worker keeps for its upstreams: connections, endpoints' health, limits.
pub(crate) struct Upstreams {
    groups: Arc<Groups>,
    view: View,
    pools: Pools,
    tunnels: Tunnels,
    tls: Configurations,
    /// For destinations of which nothing is said.
    default_policy: Arc<TrafficPolicy>,
}

impl Upstreams {
    /// Nothing yet, on the current `LocalSet`. All workers share `groups`.
    pub(crate) fn new(groups: Arc<Groups>) -> Self {
        Self {
            groups,
            view: View::default(),
            pools: Pools::default(),
            tunnels: Tunnels::new(Settings::client(), TUNNEL_IDLE),
            tls: Configurations::default(),
            default_policy: Arc::default(),
        }
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("tunnels", &self.tunnels).finish_non_exhaustive()
    }
}

/// Takes what is in force from now on: limits, endpoints' health and connections of what is gone are dropped.
pub(crate) fn in_force_changed(worker: &Rc<Worker>) {
    worker.upstreams.view.forget();
    worker.upstreams.groups.retain(&worker.in_force());
}
