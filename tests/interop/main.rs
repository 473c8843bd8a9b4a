//! The tunnel against others' implementations of its protocols.

mod binary;
mod certificate;
mod envoy;
