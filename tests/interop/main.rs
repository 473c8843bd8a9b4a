//! The tunnel against others' implementations of its protocols.

mod certificate;
mod envoy;
