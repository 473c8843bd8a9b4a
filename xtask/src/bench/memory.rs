//! Resident memory: fresh, with idle connections, and with a large mesh in state.

use std::time::{Duration, Instant};

use ambit_tests::{Mesh, manifest, until};
use anyhow::Result;

use super::bulk;
use super::held::HeldConnections;
use super::measure::{self, Measure};
use super::samples::Samples;
use super::stage::{Kind, Stage};
use super::{Extent, footprint, load};

/// How long an agent may take to be ready with the largest state.
const PATIENCE: Duration = Duration::from_secs(120);

/// As a tool that exports a cluster would split them: some 400 KiB a file.
const PODS_PER_FILE: u32 = 1000;

/// Memory of the fresh proxies, under requests, and what a thousand idle connections add to it.
pub(super) fn connections(stage: &Stage, extent: Extent, samples: &mut Samples) -> Result<()> {
    let with_proxies = || stage.contenders_from(0).filter(|contender| !contender.proxies.is_empty());
    for contender in with_proxies() {
        samples.add_largest(&measure::MEMORY_IDLE, contender, footprint::resident)?;
    }
    for contender in with_proxies() {
        load::peak_memory(contender, extent, samples)?;
    }
    for contender in with_proxies() {
        let before = contender.largest(footprint::resident)?;
        let count = 1000 / extent.divisor;
        let held = HeldConnections::open(contender, count)?;
        let added = (contender.largest(footprint::resident)? - before) * 1000.0 / f64::from(count);
        drop(held);
        samples.add(&measure::MEMORY_1000_CONNECTIONS, contender.kind, added);
    }
    Ok(())
}

/// Memory that the proxies keep after all loads.
pub(super) fn after_loads(stage: &Stage, samples: &mut Samples) -> Result<()> {
    for contender in stage.contenders_from(0).filter(|contender| !contender.proxies.is_empty()) {
        samples.add_largest(&measure::MEMORY_AFTER_LOADS, contender, footprint::resident)?;
    }
    Ok(())
}

/// Restarts node 1's agent, alone, on ever larger folders: its memory and its time to be ready.
pub(super) fn workloads(stage: &mut Stage, extent: Extent, samples: &mut Samples) -> Result<()> {
    let mesh = &mut stage.mesh;
    for node in [1, 2] {
        mesh.agent(node)?.stop()?;
    }
    mesh.config.write("namespace-bulk.yaml", &manifest::namespace(bulk::NAMESPACE, true))?;
    let mut written = 0;
    for (total, memory, ready) in [
        (10_000, &measure::MEMORY_10K_WORKLOADS, &measure::READY_10K_WORKLOADS),
        (100_000, &measure::MEMORY_100K_WORKLOADS, &measure::READY_100K_WORKLOADS),
    ] {
        while written < total / extent.divisor {
            let end = (written + PODS_PER_FILE).min(total / extent.divisor);
            mesh.config.write(&format!("bulk-{written}.yaml"), &bulk::manifests(written..end))?;
            written = end;
        }
        measure_start(mesh, memory, ready, samples)?;
    }
    Ok(())
}

fn measure_start(mesh: &mut Mesh, memory: &Measure, ready: &Measure, samples: &mut Samples) -> Result<()> {
    let started = Instant::now();
    let agent = mesh.start_agent(1, &[])?;
    until("an agent ready with a large state", PATIENCE, || {
        agent.readiness().ok().filter(|(status, _)| *status == 200).map(drop)
    })?;
    samples.add(ready, Kind::Mesh, started.elapsed().as_secs_f64());
    samples.add(memory, Kind::Mesh, footprint::resident(agent.process().id())?);
    agent.stop()?;
    Ok(())
}
