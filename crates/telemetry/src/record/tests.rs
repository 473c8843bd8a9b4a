use std::net::SocketAddr;

use ambit_model::{
    Addresses, AppProtocol, Application, DenyReason, HealthPolicy, Identity, LoadBalancingMode, Service, ServiceKey,
    ServicePort, TunnelProtocol, TunnelTarget, WaypointFailure, Workload, WorkloadKind, WorkloadUid,
};

use super::*;
use crate::access_log::AccessLogFormat;
use crate::flow::{Party, SecurityPolicy};
use crate::metrics::Metrics;

fn workload(name: &str, owner: &str) -> Arc<Workload> {
    Arc::new(Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", name),
        addresses: Addresses::new(),
        node: "".into(),
        locality: None,
        tunnel_protocol: TunnelProtocol::Hbone,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: Arc::new(Application {
            namespace: "shop".into(),
            identity: Identity::new("cluster.local", "shop", owner),
            canonical_name: format!("{owner}-app").into(),
            canonical_revision: "v1".into(),
            kind: WorkloadKind::Deployment,
            workload_name: owner.into(),
            services: Arc::default(),
            authorization_policies: Arc::default(),
            waypoint: None,
            waypoint_failure: WaypointFailure::default(),
            labels: Arc::default(),
            cluster: "Kubernetes".into(),
            hostname: None,
            weight: 1,
        }),
    })
}

fn service() -> Arc<Service> {
    Arc::new(Service {
        key: ServiceKey { namespace: "shop".into(), hostname: "cart.shop.svc.cluster.local".into() },
        name: "cart".into(),
        addresses: Vec::new(),
        ports: vec![ServicePort { port: 80, name: "".into(), app_protocol: AppProtocol::Tcp }],
        subject_alt_names: Vec::new(),
        health_policy: HealthPolicy::default(),
        load_balancing: LoadBalancingMode::default(),
        waypoint: None,
        canary: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: None,
    })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn party(workload: &Arc<Workload>) -> Party {
    Party { workload: Some(Arc::clone(workload)), identity: Some(workload.identity.clone()) }
}

/// A recorder with what it writes to: metrics, and a log whose lines can be asked for.
struct Rig {
    metrics: Metrics,
    recorder: Recorder,
    log: AccessLog,
    lines: Arc<Mutex<Vec<u8>>>,
}

struct Output(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Rig {
    fn new() -> Self {
        let metrics = Metrics::new("ztunnel", "test");
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let output = Output(Arc::clone(&lines));
        let log = AccessLog::start(AccessLogFormat::Text, output, metrics.agent.access_log_lost.clone()).unwrap();
        let recorder = Recorder::new(Arc::clone(&metrics.traffic), Some(log.clone()));
        Self { metrics, recorder, log, lines }
    }

    fn open(&self, direction: Direction) -> ConnectionRecord {
        self.recorder.open(direction, PeerAddr::new(address("10.0.0.1:40000")))
    }

    /// A connection from web to cart of which everything is known.
    fn known(&self, direction: Direction) -> ConnectionRecord {
        let mut record = self.open(direction);
        record.flow.security = SecurityPolicy::MutualTls;
        record.flow.source = party(&workload("web-1", "web"));
        record.flow.destination = party(&workload("cart-1", "cart"));
        record.flow.service = Some(service());
        record
    }

    /// The log so far, without timestamps and durations.
    fn log(&self) -> Vec<String> {
        assert!(self.log.flush(std::time::Duration::from_secs(20)));
        let text = String::from_utf8(self.lines.lock().unwrap().clone()).unwrap();
        let bare = |line: &str| {
            let (_, line) = line.split_once('\t').unwrap();
            line.split(' ').filter(|word| !word.starts_with("duration=")).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(bare).collect()
    }

    /// Every sample of the traffic metrics as `name{labels} value`, sorted, without the prefix.
    fn samples(&self) -> Vec<String> {
        let text = self.metrics.encode().unwrap();
        let mut samples: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("istio_tcp_")).map(str::to_owned).collect();
        samples.sort();
        samples
    }

    /// The samples with their labels cut down to `response_flags`, zeros left out.
    fn moved(&self) -> Vec<String> {
        let short = |sample: &String| {
            let (name, labels) = sample.split_once('{').unwrap();
            let (_, flag) = labels.split_once("response_flags=\"").unwrap();
            let (flag, rest) = flag.split_once('"').unwrap();
            format!("{name} {flag} {}", rest.rsplit_once(' ').unwrap().1)
        };
        self.samples().iter().map(short).filter(|sample| !sample.ends_with(" 0")).collect()
    }
}

#[test]
fn labels_are_exact_and_in_order() {
    let rig = Rig::new();
    let mut record = rig.known(Direction::Outbound);
    record.established();
    let labels = "reporter=\"source\",source_workload=\"web\",source_canonical_service=\"web-app\",\
        source_canonical_revision=\"v1\",source_workload_namespace=\"shop\",\
        source_principal=\"spiffe://cluster.local/ns/shop/sa/web\",source_app=\"web-app\",source_version=\"v1\",\
        source_cluster=\"Kubernetes\",destination_service=\"cart.shop.svc.cluster.local\",\
        destination_service_namespace=\"shop\",destination_service_name=\"cart\",destination_workload=\"cart\",\
        destination_canonical_service=\"cart-app\",destination_canonical_revision=\"v1\",\
        destination_workload_namespace=\"shop\",destination_principal=\"spiffe://cluster.local/ns/shop/sa/cart\",\
        destination_app=\"cart-app\",destination_version=\"v1\",destination_cluster=\"Kubernetes\",\
        request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"";
    let expected: Vec<_> = [
        ("connections_closed_total", 0),
        ("connections_failed_total", 0),
        ("connections_opened_total", 1),
        ("received_bytes_total", 0),
        ("sent_bytes_total", 0),
    ]
    .map(|(name, value)| format!("{name}{{{labels}}} {value}"))
    .into();
    assert_eq!(rig.samples(), expected);
}

#[test]
fn missing_values_read_unknown() {
    let rig = Rig::new();
    rig.open(Direction::Inbound).close(Ok(()));
    let samples = rig.samples();
    let opened = samples.iter().find(|sample| sample.starts_with("connections_opened_total")).unwrap();
    assert!(opened.contains("reporter=\"destination\""), "{opened}");
    assert_eq!(opened.matches("=\"unknown\"").count(), 20, "{opened}");
}

#[test]
fn metrics_count_as_the_server_and_the_log_as_the_reporter() {
    // (direction, sent and received in the log); the client sent 10 bytes, the server 200.
    for (direction, in_log) in
        [(Direction::Outbound, "bytes_sent=10 bytes_recv=200"), (Direction::Inbound, "bytes_sent=200 bytes_recv=10")]
    {
        let rig = Rig::new();
        let mut record = rig.known(direction);
        record.established();
        record.bytes().sent.store(10, Relaxed);
        record.bytes().received.store(200, Relaxed);
        record.close(Ok(()));
        let bytes = ["received_bytes_total - 10", "sent_bytes_total - 200"];
        assert_eq!(rig.moved()[2..], bytes, "{direction:?}");
        assert!(rig.log()[0].ends_with(in_log), "{:?}", rig.log());
    }
}

#[test]
fn one_line_and_one_set_of_counters_whatever_the_end() {
    type Case = (&'static str, fn(ConnectionRecord), &'static str, &'static [&'static str]);
    let cases: [Case; 6] = [
        (
            "closed by both sides",
            |mut record| {
                record.established();
                record.close(Ok(()));
            },
            "info",
            &["connections_closed_total - 1", "connections_opened_total - 1"],
        ),
        (
            "closed before it was established",
            |record| record.close(Ok(())),
            "info",
            &["connections_closed_total - 1", "connections_opened_total - 1"],
        ),
        (
            "refused",
            |record| record.close(Err(&CloseReason::Denied(DenyReason::Unenrolled))),
            "error",
            &["connections_closed_total DENY 1", "connections_failed_total DENY 1", "connections_opened_total DENY 1"],
        ),
        (
            "cut after it was established",
            |mut record| {
                record.established();
                record.established();
                record.close(Err(&CloseReason::PolicyChanged(DenyReason::Unenrolled)));
            },
            "error",
            &["connections_closed_total DENY 1", "connections_failed_total DENY 1", "connections_opened_total - 1"],
        ),
        (
            "dropped",
            |mut record| record.established(),
            "error",
            &["connections_closed_total - 1", "connections_failed_total - 1", "connections_opened_total - 1"],
        ),
        (
            "dropped at once",
            drop,
            "error",
            &["connections_closed_total - 1", "connections_failed_total - 1", "connections_opened_total - 1"],
        ),
    ];
    for (case, end, level, counters) in cases {
        let rig = Rig::new();
        end(rig.known(Direction::Outbound));
        assert_eq!(rig.moved(), counters, "{case}");
        let log = rig.log();
        assert_eq!(log.len(), 1, "{case}: {log:?}");
        assert!(log[0].starts_with(&format!("{level}\taccess\tconnection complete\t")), "{case}: {log:?}");
        assert_eq!(log[0].contains(" error="), level == "error", "{case}: {log:?}");
    }
}

#[test]
fn the_log_line_is_complete_and_in_order() {
    let rig = Rig::new();
    let mut record = rig.known(Direction::Outbound);
    record.addresses.destination = Some(address("10.0.0.2:15008"));
    record.addresses.tunnel_target = Some(TunnelTarget::new(address("10.0.0.2:8080")));
    record.close(Err(&CloseReason::TunnelRefused { status: 503 }));
    assert_eq!(
        rig.log(),
        ["error\taccess\tconnection complete\tsrc.addr=10.0.0.1:40000 src.workload=web-1 src.namespace=shop \
          src.identity=spiffe://cluster.local/ns/shop/sa/web dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:8080 \
          dst.service=cart.shop.svc.cluster.local dst.workload=cart-1 dst.namespace=shop \
          dst.identity=spiffe://cluster.local/ns/shop/sa/cart direction=outbound bytes_sent=0 bytes_recv=0 \
          error=\"the destination's node answered 503\""]
    );
}

#[test]
fn bytes_are_counted_once_however_often() {
    let rig = Rig::new();
    let mut record = rig.known(Direction::Inbound);
    record.established();
    record.bytes().sent.store(10, Relaxed);
    record.count_bytes();
    assert!(rig.moved().contains(&"received_bytes_total - 10".to_owned()), "{:?}", rig.moved());
    record.count_bytes();
    record.bytes().sent.store(25, Relaxed);
    record.close(Ok(()));
    assert!(rig.moved().contains(&"received_bytes_total - 25".to_owned()), "{:?}", rig.moved());
}

#[test]
fn without_its_flag_a_failure_counts_in_the_same_series() {
    let rig = Rig::new();
    let unflagged = LabelChanges { disabled: false, labels: vec![("response_flags".into(), None)] };
    for end in [Ok(()), Err(&CloseReason::Denied(DenyReason::Unenrolled))] {
        let mut record = rig.known(Direction::Outbound);
        record.change(vec![(ConnectionMetric::Closed, unflagged.clone())]);
        record.established();
        record.close(end);
    }
    let samples = rig.samples();
    for (name, value) in [("connections_closed_total{", " 2"), ("connections_failed_total{", " 1")] {
        let [one] = samples.iter().filter(|sample| sample.starts_with(name)).collect::<Vec<_>>()[..] else {
            panic!("{samples:?}")
        };
        assert!(one.ends_with(value) && !one.contains("response_flags"), "{one}");
    }
}

#[test]
fn a_series_goes_with_the_last_workload_that_fed_it() {
    let rig = Rig::new();
    let cart = workload("cart-1", "cart");
    for pod in ["web-1", "web-2"] {
        let mut record = rig.open(Direction::Outbound);
        record.flow.source = party(&workload(pod, "web"));
        record.flow.destination = party(&cart);
        record.close(Ok(()));
    }
    assert_eq!(rig.moved(), ["connections_closed_total - 2", "connections_opened_total - 2"]);
    let traffic = &rig.metrics.traffic;
    traffic.forget_workload(&WorkloadUid::pod("Kubernetes", "shop", "web-1"));
    traffic.forget_workload(&WorkloadUid::pod("Kubernetes", "shop", "stranger"));
    assert_eq!(rig.moved(), ["connections_closed_total - 2", "connections_opened_total - 2"]);
    traffic.forget_workload(&WorkloadUid::pod("Kubernetes", "shop", "web-2"));
    assert_eq!(rig.samples(), [""; 0]);
}

#[test]
fn a_removed_series_is_not_remembered() {
    let rig = Rig::new();
    let web = workload("web-1", "web");
    let connect = || {
        let mut record = rig.open(Direction::Outbound);
        record.flow.source = party(&web);
        record.close(Ok(()));
    };
    connect();
    rig.metrics.traffic.forget_workload(&web.uid);
    connect();
    assert_eq!(rig.moved(), ["connections_closed_total - 1", "connections_opened_total - 1"]);
}

#[test]
fn an_updated_workload_gets_its_new_labels() {
    let rig = Rig::new();
    for owner in ["web", "web-renamed"] {
        let mut record = rig.open(Direction::Outbound);
        record.flow.source = party(&workload("web-1", owner));
        record.established();
        record.close(Ok(()));
    }
    assert_eq!(rig.moved().len(), 4, "{:?}", rig.moved());
}

#[test]
fn hostile_labels_stay_inside_their_quotes() {
    let rig = Rig::new();
    let mut record = rig.open(Direction::Outbound);
    record.flow.source.workload = Some(workload("web-1", "x\"} 1\nevil_total{a=\"\\"));
    record.established();
    let samples = rig.samples();
    assert_eq!(samples.len(), 5, "{samples:?}");
    assert!(samples.iter().all(|sample| sample.contains(r#"source_workload="x\"} 1\nevil_total{a=\"\\","#)));
}
