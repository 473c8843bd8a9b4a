//! Nodes and pods as network namespaces, real agents, real eBPF, real TLS. Needs root.

mod configuration;
mod enrolment;
mod footprint;
mod harness;
mod hostile;
mod ipv6;
mod lifecycle;
mod paths;
mod policy;
mod services;
mod shop;
mod tls;
mod tunnel;
