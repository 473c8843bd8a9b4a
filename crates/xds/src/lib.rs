//! The discovery protocol: how control plane and node agents say what the mesh looks like.
//!
//! [`encode`] and [`Decoder`] stand between the model and the messages of [`proto`]; [`Client`] keeps up
//! with a server, whoever's it is; [`Cache`] and [`Discovery`] are ours.

pub mod encode;
pub mod proto;

mod authenticate;
mod cache;
mod client;
mod counters;
mod decode;
mod server;
mod type_url;

pub use authenticate::{AuthError, Authenticator, BoundPod, Caller, caller};
pub use cache::{Cache, Entry};
pub use client::{
    BoxError, Client, ClientOptions, Disconnected, Handler, Held, Names, NodeInfo, Received, Rejected, Subscription,
    Update,
};
pub use counters::{Counters, Snapshot, TypeCounts};
pub use decode::{Address, AddressName, DecodeError, Decoder, Fault, policy_key};
pub use server::{Discovery, DiscoveryService};
pub use type_url::TypeUrl;
