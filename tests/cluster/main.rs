//! The chart on a real Kubernetes: two nodes, real kubelets, real containers. Needs the environment of
//! `cargo xtask cluster shell` and the mesh's images on the nodes; `cargo xtask test cluster` sees to both.
//!
//! The mesh is installed once, by whichever test comes first; each test has a namespace of its own. Tests
//! run in the order of their names, and `without_a_trace` comes last.

mod agent_restart;
mod authorization;
mod bad_objects;
mod canary_waypoints;
mod certificates;
mod claims;
mod cni;
mod control_plane;
mod control_plane_client;
mod enrolment;
mod field_client;
mod hostile;
mod mesh;
mod node_reboot;
mod older_versions;
mod on_the_wire;
mod other_pods;
mod probes;
mod prometheus;
mod rollout;
mod traffic;
mod waypoint_credentials;
mod waypoint_statuses;
mod waypoints;
mod without_a_trace;
