//! What a workload costs in memory: `cargo run --release -p ambit-state --example memory`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::sync::Arc;
use std::time::Instant;

use ambit_model::{
    Addresses, AppProtocol, Application, Identity, Interner, PortMapping, ServiceKey, ServicePorts, TunnelProtocol,
    WaypointFailure, Workload, WorkloadKind, WorkloadUid,
};
use ambit_state::{Snapshot, Update};

fn main() -> std::io::Result<()> {
    println!("Workload: {} bytes", size_of::<Workload>());
    for count in [10_000, 100_000] {
        measure(count)?;
    }
    Ok(())
}

fn measure(count: u32) -> std::io::Result<()> {
    let before = resident_bytes()?;
    let mut shared = Shared::default();
    let started = Instant::now();
    let updates = (0..count).map(|n| Update::Workload(Arc::new(workload(n, &mut shared))));
    let snapshot = Snapshot::default().apply(updates).0;
    let built = started.elapsed();
    let each = resident_bytes()?.saturating_sub(before) / u64::from(count);

    let moved = Workload { node: "node-moved".into(), ..workload(count / 2, &mut shared) };
    let started = Instant::now();
    let next = snapshot.apply([Update::Workload(Arc::new(moved))]).0;
    let replaced = started.elapsed();
    drop(next);
    println!(
        "{count} workloads: {each} bytes each, strings included; built in {built:?}, one replaced in {replaced:?}"
    );
    Ok(())
}

/// What workloads have in common.
#[derive(Default)]
struct Shared {
    texts: Interner<str>,
    services: Interner<ServicePorts>,
    applications: Interner<Application>,
}

/// Ten pods a service, a hundred a node, a thousand a namespace.
fn workload(n: u32, shared: &mut Shared) -> Workload {
    let [_, a, b, c] = n.to_be_bytes();
    let mut text = |text: String| shared.texts.share(text.as_str());
    let namespace = text(format!("namespace-{}", n / 1000));
    let app = text(format!("application-{}", n / 10));
    let hostname = text(format!("{app}.{namespace}.svc.cluster.local"));
    let name = format!("{app}-5d4f8c7b9-{n:05x}");
    let port = PortMapping { service_port: 80, target_port: 8080, app_protocol: AppProtocol::Unknown };
    let services: ServicePorts =
        [(ServiceKey { namespace: Arc::clone(&namespace), hostname }, vec![port])].into_iter().collect();
    let uid = WorkloadUid::pod("Kubernetes", &namespace, &name);
    let application = Application {
        identity: Identity::new(text("cluster.local".to_owned()), Arc::clone(&namespace), Arc::clone(&app)),
        namespace,
        canonical_name: Arc::clone(&app),
        canonical_revision: text("latest".to_owned()),
        kind: WorkloadKind::Deployment,
        workload_name: app,
        cluster: text("Kubernetes".to_owned()),
        services: shared.services.share(services),
        authorization_policies: Arc::default(),
        waypoint: None,
        waypoint_failure: WaypointFailure::default(),
        labels: Arc::default(),
        hostname: None,
        weight: 1,
    };
    Workload {
        uid,
        addresses: Addresses::from_elem([10, a, b, c].into(), 1),
        node: text(format!("node-{}", n / 100)),
        locality: None,
        tunnel_protocol: TunnelProtocol::Hbone,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: shared.applications.share(application),
    }
}

fn resident_bytes() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| std::io::Error::other("no VmRSS in /proc/self/status"))
}
