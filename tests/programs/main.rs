//! Programs people run, unmodified, as client and server on two nodes, through a Service of the
//! mesh. They come from Debian's packages; each server runs on a folder and a port of its own.

mod container;
mod machine;
mod mariadb;
mod nginx;
mod pair;
mod postgres;
mod redis;
