//! The waypoint under observation: the real program, real TLS and TCP, real backends, each scene in a network
//! namespace of its own. Tables of objects, request and what is to be seen, one case at least for every
//! field: [`case::Case::fields`] is what docs/compatibility.md is made of.

mod authorization;
mod backend;
mod case;
mod client;
mod coverage;
mod destination_rule;
mod http_route;
mod operation;
mod scene;
mod virtual_service;
mod whole_mesh;
