//! Backends that misbehave, on real sockets: what a client gets, and how many connections and attempts it takes.

mod choice;
mod http1;
mod http2;
mod layers;
mod mesh;
