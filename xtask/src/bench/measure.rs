//! What is measured, and what the project aims at.

/// One line of the report.
#[derive(Debug, PartialEq)]
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) target: Option<Target>,
}

/// A bound for the mesh's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// At least this part of the bare pair of proxies.
    PartOfTwoHop(f64),
    /// At most this multiple of the bare pair of proxies.
    MultipleOfTwoHop(f64),
    /// At most this, in the measure's unit.
    Bound(f64),
}

impl Target {
    /// Whether it is met; unknown where a value is missing.
    pub(super) fn met(self, mesh: Option<f64>, two_hop: Option<f64>) -> Option<bool> {
        match self {
            Self::PartOfTwoHop(part) => Some(mesh? >= part * two_hop?),
            Self::MultipleOfTwoHop(multiple) => Some(mesh? <= multiple * two_hop?),
            Self::Bound(bound) => Some(mesh? <= bound),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PartOfTwoHop(part) => write!(f, ">= {part} two_hop"),
            Self::MultipleOfTwoHop(multiple) => write!(f, "<= {multiple} two_hop"),
            Self::Bound(bound) => write!(f, "<= {bound}"),
        }
    }
}

use Target::{Bound, MultipleOfTwoHop, PartOfTwoHop};

const fn measure(name: &'static str, unit: &'static str, target: Option<Target>) -> Measure {
    Measure { name, unit, target }
}

pub(super) static THROUGHPUT_1: Measure = measure("throughput_1", "Gbit/s", Some(PartOfTwoHop(0.60)));
pub(super) static THROUGHPUT_4: Measure = measure("throughput_4", "Gbit/s", Some(PartOfTwoHop(0.62)));
pub(super) static THROUGHPUT_16: Measure = measure("throughput_16", "Gbit/s", None);
pub(super) static KEEPALIVE_1_P50: Measure = measure("keepalive_1_p50", "us", Some(MultipleOfTwoHop(1.22)));
pub(super) static KEEPALIVE_1_P99: Measure = measure("keepalive_1_p99", "us", None);
pub(super) static KEEPALIVE_1_RPS: Measure = measure("keepalive_1_rps", "1/s", None);
pub(super) static KEEPALIVE_64_P50: Measure = measure("keepalive_64_p50", "us", None);
pub(super) static KEEPALIVE_64_P99: Measure = measure("keepalive_64_p99", "us", None);
pub(super) static KEEPALIVE_64_RPS: Measure = measure("keepalive_64_rps", "1/s", Some(PartOfTwoHop(1.0)));
pub(super) static NEW_CONNECTIONS: Measure = measure("new_connections", "1/s", Some(PartOfTwoHop(1.0)));
/// User and system time of both proxies, for one stream.
pub(super) static CPU_PER_GB: Measure = measure("cpu_per_gb", "s", None);
/// All memory is resident memory of the larger of both proxies.
pub(super) static MEMORY_IDLE: Measure = measure("memory_idle", "MiB", None);
pub(super) static MEMORY_1000_CONNECTIONS: Measure = measure("memory_1000_connections", "MiB", None);
/// The peak of fresh proxies under the load of `keepalive_64`.
pub(super) static MEMORY_KEEPALIVE_64: Measure = measure("memory_keepalive_64", "MiB", Some(Bound(20.0)));
/// What is kept after all loads.
pub(super) static MEMORY_AFTER_LOADS: Measure = measure("memory_after_loads", "MiB", None);
pub(super) static MEMORY_10K_WORKLOADS: Measure = measure("memory_10k_workloads", "MiB", None);
pub(super) static MEMORY_100K_WORKLOADS: Measure = measure("memory_100k_workloads", "MiB", Some(Bound(100.0)));
/// From the start of an agent to its readiness.
pub(super) static READY_10K_WORKLOADS: Measure = measure("ready_10k_workloads", "s", None);
pub(super) static READY_100K_WORKLOADS: Measure = measure("ready_100k_workloads", "s", None);
/// From before the write of a policy file to the end of an open connection it denies.
pub(super) static ENFORCEMENT_OPEN: Measure = measure("enforcement_open", "ms", None);
/// From before the write of a policy file to the first refusal of a new connection.
pub(super) static ENFORCEMENT_NEW: Measure = measure("enforcement_new", "ms", None);

/// All measures, in the report's order.
pub(super) static ALL: [&Measure; 21] = [
    &THROUGHPUT_1,
    &THROUGHPUT_4,
    &THROUGHPUT_16,
    &KEEPALIVE_1_P50,
    &KEEPALIVE_1_P99,
    &KEEPALIVE_1_RPS,
    &KEEPALIVE_64_P50,
    &KEEPALIVE_64_P99,
    &KEEPALIVE_64_RPS,
    &NEW_CONNECTIONS,
    &CPU_PER_GB,
    &MEMORY_IDLE,
    &MEMORY_1000_CONNECTIONS,
    &MEMORY_KEEPALIVE_64,
    &MEMORY_AFTER_LOADS,
    &MEMORY_10K_WORKLOADS,
    &MEMORY_100K_WORKLOADS,
    &READY_10K_WORKLOADS,
    &READY_100K_WORKLOADS,
    &ENFORCEMENT_OPEN,
    &ENFORCEMENT_NEW,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_or_not_or_unknown() {
        for (target, mesh, two_hop, expected) in [
            (PartOfTwoHop(0.5), Some(5.0), Some(10.0), Some(true)),
            (PartOfTwoHop(0.5), Some(4.9), Some(10.0), Some(false)),
            (MultipleOfTwoHop(1.5), Some(15.0), Some(10.0), Some(true)),
            (MultipleOfTwoHop(1.5), Some(15.1), Some(10.0), Some(false)),
            (Bound(3.0), Some(3.0), None, Some(true)),
            (Bound(3.0), None, Some(1.0), None),
            (PartOfTwoHop(0.5), Some(5.0), None, None),
        ] {
            assert_eq!(target.met(mesh, two_hop), expected, "{target} {mesh:?} {two_hop:?}");
        }
    }
}
