//! Client and server of discovery, over TCP.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, in its helpers as well"
)]

mod client;
mod mesh;
mod peers;
mod server;
