//! Which endpoint a request goes to. Pure: time and randomness are passed in.
//!
//! A [`Group`] is the endpoints of one (service, port, subset) and how they are used; all workers share it.
//!
//! ```text
//! let group = Group::new(endpoints, policy, now);       // Arc<Group>; update(..) when either changes
//! let permit = group.limits().request(now)?;            // Overflow → 503, with its flag
//! let pick = group.pick(&Ask { hash, ..Ask::default() }, &mut rng, now)?;  // NoPick → 503
//! connect(pick.address()) ...                           // pick counts as an active request until dropped
//! pick.report(Outcome::Status(response.status()), now); // what outlier detection sees; once an attempt
//! tried.extend(pick.id());                              // for a retry: Ask { tried: &tried, .. }
//! let permit = group.limits().retry(now)?;              // and leave to try again
//! for event in group.take_events() { .. }               // who was ejected, who came back
//! ```
//!
//! The set of endpoints is an immutable snapshot. What is known of one endpoint by its use (requests under
//! way, errors in a row, ejections, since when it is ready) outlives the snapshot as long as the endpoint is
//! in the next one, and no longer.
//!
//! From a snapshot to a choice:
//!
//! | step | file |
//! | --- | --- |
//! | what clients of one place see: branches (levels of failover, or shares of `distribute`) | `view.rs`, `locality.rs` |
//! | what of it may be used now: without those ejected; how much each branch gets | `plan.rs` |
//! | one endpoint of a branch | `choose.rs`, `weights.rs`, `ring.rs`, `maglev.rs`, `warmup.rs` |
//! | what came of it | `outcome.rs`, `outlier.rs` |

mod ask;
mod buckets;
mod choose;
mod endpoint;
#[cfg(test)]
mod fixtures;
mod group;
mod hash;
mod limits;
mod locality;
mod maglev;
mod outcome;
mod outlier;
mod pick;
mod place;
mod plan;
mod retry_budget;
mod ring;
mod set;
mod view;
mod warmup;
mod weights;

pub use ask::{Ask, Client};
pub use buckets::{Buckets, Drawn};
pub use endpoint::{Endpoint, EndpointId, EndpointSpec, Labels};
pub use group::Group;
pub use hash::hash_key;
pub use limits::{Limits, Overflow, Permit};
pub use outcome::Outcome;
pub use outlier::{Event, EventKind, Reason};
pub use pick::{NoPick, Pick};
pub use place::Place;
