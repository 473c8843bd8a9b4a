//! Programs people run, unmodified, as client and server on two nodes, through a Service of the
//! mesh, some of them behind a waypoint. They come from Debian's packages; each server runs on a folder and a port of
//! its own.

mod container;
mod curl;
mod fortio;
mod grpcio;
mod machine;
mod mariadb;
mod nginx;
mod pair;
mod postgres;
mod prometheus;
mod redis;
mod websocket;
