//! The kernel programs in the kernel: loaded, attached and met by real connections, without an agent.

mod capture;
mod kernel;
mod takeover;
