//! The waypoint under observation: the real program, real TLS and TCP, real backends, each scene in a network
//! namespace of its own. Tables of objects, request and what is to be seen, one case at least for every
//! field: [`case::Case::fields`] is what docs/compatibility.md is made of.

mod authorization;
mod backend;
mod case;
mod client;
mod connection_pool;
mod counts;
mod coverage;
mod destination_rule;
mod endpoints;
mod failures;
mod forwarded;
mod gateway_routes;
mod h2spec;
mod http_route;
mod names;
mod nearness;
mod operation;
mod protocol_http1;
mod protocol_http2;
mod rate_limit;
mod raw;
mod scene;
mod sink;
mod telemetry;
mod upstream_connection;
mod virtual_service;
mod whole_mesh;
