//! What a workload costs in memory: `cargo run --release -p ambit-state --example memory`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::{
    AppProtocol, Identity, PortMapping, ServiceKey, TunnelProtocol, Workload, WorkloadKind, WorkloadUid,
};
use ambit_state::{Interner, Snapshot, Update};

fn main() -> std::io::Result<()> {
    println!("Workload: {} bytes", size_of::<Workload>());
    for count in [10_000, 100_000] {
        measure(count)?;
    }
    Ok(())
}

fn measure(count: u32) -> std::io::Result<()> {
    let before = resident_bytes()?;
    let mut interner = Interner::default();
    let started = Instant::now();
    let updates = (0..count).map(|n| Update::Workload(Arc::new(interner.workload(workload(n)))));
    let snapshot = Snapshot::default().apply(updates).0;
    let built = started.elapsed();
    let each = resident_bytes()?.saturating_sub(before) / u64::from(count);

    let moved = Workload { node: "node-moved".into(), ..workload(count / 2) };
    let started = Instant::now();
    let next = snapshot.apply([Update::Workload(Arc::new(moved))]).0;
    let replaced = started.elapsed();
    drop(next);
    println!(
        "{count} workloads: {each} bytes each, strings included; built in {built:?}, one replaced in {replaced:?}"
    );
    Ok(())
}

/// Ten pods a service, a hundred a node, a thousand a namespace.
fn workload(n: u32) -> Workload {
    let [_, a, b, c] = n.to_be_bytes();
    let namespace = format!("namespace-{}", n / 1000);
    let app = format!("application-{}", n / 10);
    let name = format!("{app}-5d4f8c7b9-{n:05x}");
    let key = ServiceKey {
        namespace: namespace.as_str().into(),
        hostname: format!("{app}.{namespace}.svc.cluster.local").into(),
    };
    let port = PortMapping { service_port: 80, target_port: 8080, app_protocol: AppProtocol::Unknown };
    Workload {
        uid: WorkloadUid::pod("Kubernetes", &namespace, &name),
        name: name.into(),
        addresses: vec![[10, a, b, c].into()],
        node: format!("node-{}", n / 100).into(),
        identity: Identity::new("cluster.local", namespace.as_str(), app.as_str()),
        namespace: namespace.into(),
        tunnel_protocol: TunnelProtocol::Hbone,
        canonical_name: app.as_str().into(),
        canonical_revision: "latest".into(),
        kind: WorkloadKind::Deployment,
        workload_name: app.into(),
        services: BTreeMap::from([(key, vec![port])]).into(),
        authorization_policies: vec![],
        healthy: true,
        host_network: false,
        cluster: "Kubernetes".into(),
        same_node: None,
    }
}

fn resident_bytes() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| std::io::Error::other("no VmRSS in /proc/self/status"))
}
