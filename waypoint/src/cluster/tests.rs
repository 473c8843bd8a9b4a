//! What a control plane would say, and what is in force thereafter.

use ambit_compile::{Compiled, Options, Store};
use ambit_identity::{CaOptions, CertificateAuthority};
use ambit_l7::HttpAuthorizationAction;
use ambit_model::{GatewayKey, Labels, WorkloadUid};
use ambit_runtime::Readiness;
use ambit_xds::proto::config;
use ambit_xds::{Received, encode};
use prost::Message;
use serde_json::{Value, json};

use super::*;
use crate::outlet::{self, Published};

const MESH: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop}
spec: {clusterIP: 10.96.0.10, selector: {app: waypoint}, ports: [{port: 15008}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waypoint-0, namespace: shop, labels: {app: waypoint}}
spec: {serviceAccountName: other-account, nodeName: node-1}
status: {podIP: 10.0.0.10, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web, version: v1}}
spec: {serviceAccountName: web, nodeName: node-1}
status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;

/// A source, and what comes out of it.
struct Rig {
    cluster: Cluster,
    published: Published,
    readiness: Readiness,
    mesh: Compiled,
    roots: Vec<bytes::Bytes>,
}

impl Rig {
    fn new() -> Self {
        let gateway = GatewayKey { namespace: "shop".into(), name: "waypoint".into() };
        let pod = Some(WorkloadUid::pod("Kubernetes", "shop", "waypoint-0"));
        let name = Name { gateway, pod, address: None, trust_domain: "cluster.local".into() };
        let readiness = Readiness::default();
        let (outlet, published) = outlet::channel(name.service(), readiness.condition("configuration"));
        let folder = tempfile::tempdir().unwrap();
        CertificateAuthority::open_or_create(folder.path(), CaOptions::new("cluster.local")).unwrap();
        let bundle = TrustBundle::load(&CertificateAuthority::roots_path(folder.path())).unwrap();
        let roots = bundle.roots().certificates().iter().map(|root| root.to_vec().into()).collect();
        let mut store = Store::new(Options { labels: true, ..Options::default() });
        store.replace_file("mesh", MESH);
        let own = (name, "istio-system".into());
        let cluster = Cluster::new("ambitd:1".to_owned(), own, outlet, Arc::new(bundle), AgentMetrics::default());
        Self { cluster, published, readiness, mesh: store.compile(), roots }
    }

    /// All the control plane has to say of a type, or what is new of it.
    fn say(&mut self, type_url: TypeUrl, resources: Vec<Received>) -> Result<(), Vec<Rejected>> {
        self.cluster.apply(Update { type_url, resources, removed: Vec::new(), first_complete: true })
    }

    fn remove(&mut self, type_url: TypeUrl, name: &str) {
        let removed = vec![name.to_owned()];
        self.cluster.apply(Update { type_url, resources: Vec::new(), removed, first_complete: false }).unwrap();
    }

    fn say_roots(&mut self) {
        let roots = encode::trust_bundle(&self.roots);
        self.say(TypeUrl::TrustBundle, vec![received("mesh", &roots)]).unwrap();
    }

    fn say_addresses(&mut self) {
        let workloads = self.mesh.workloads.iter();
        let workloads = workloads.map(|it| received(it.uid.as_str(), &encode::address_of_workload(it)));
        let services = self.mesh.services.iter();
        let services = services.map(|it| received(&it.key.to_string(), &encode::address_of_service(it)));
        self.say(TypeUrl::Address, workloads.chain(services).collect()).unwrap();
    }

    fn say_labels(&mut self) {
        let labels = self.mesh.workloads.iter().map(|it| received(it.uid.as_str(), &encode::labels(it)));
        self.say(TypeUrl::Labels, labels.collect()).unwrap();
    }

    /// Says everything, these objects among it.
    fn of_objects(objects: Vec<Received>) -> (Self, Result<(), Vec<Rejected>>) {
        let mut rig = Self::new();
        rig.say_roots();
        rig.say_labels();
        rig.say_addresses();
        let said = rig.say(TypeUrl::Object, objects);
        (rig, said)
    }

    fn labels(&self) -> Labels {
        let web = WorkloadUid::pod("Kubernetes", "shop", "web-0");
        self.published.load().snapshot.workload(&web).map(|web| (*web.labels).clone()).unwrap_or_default()
    }

    /// How many rules for requests the service has.
    fn rules(&self) -> usize {
        let web = self.mesh.services.iter().find(|service| service.key.hostname.starts_with("web."));
        self.published.load().rules(web.map(|web| &web.key)).rules.http.len()
    }
}

fn received(name: &str, message: &impl Message) -> Received {
    Received { name: name.into(), version: "1".into(), body: message.encode_to_vec().into() }
}

fn object(api_version: &str, kind: &str, spec: &Value) -> Received {
    let metadata = json!({ "name": "it", "namespace": "shop" });
    let json = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec });
    let (namespace, name) = ("shop".to_owned(), "it".to_owned());
    let (kind, api_version) = (kind.to_owned(), api_version.to_owned());
    let of = format!("shop/waypoint/{kind}/shop/it");
    received(&of, &config::Object { kind, api_version, namespace, name, json: json.to_string().into() })
}

fn virtual_service(spec: &Value) -> Received {
    object("networking.istio.io/v1", "VirtualService", spec)
}

fn policy(field: &str) -> Received {
    let target = json!([{ "kind": "Gateway", "group": "gateway.networking.k8s.io", "name": "waypoint" }]);
    object("security.istio.io/v1", "AuthorizationPolicy", &json!({ "targetRefs": target, field: [{}] }))
}

#[test]
fn nothing_is_in_force_before_everything_was_said() {
    let mut rig = Rig::new();
    rig.say_addresses();
    rig.say_labels();
    rig.say(TypeUrl::Object, Vec::new()).unwrap();
    rig.cluster.disconnected(&Disconnected::Ended);
    assert_eq!(rig.published.version(), 0);
    let not_ready = rig.readiness.check().unwrap_err();
    assert!(not_ready[0].contains("the control plane at ambitd:1"), "{not_ready:?}");
    rig.say_roots();
    assert_eq!((rig.published.version(), rig.readiness.check()), (1, Ok(())));
    // What is in force stays so without it.
    rig.cluster.disconnected(&Disconnected::Ended);
    assert_eq!(rig.readiness.check(), Ok(()));
    // It is the pod it is said to be, whatever account that one has.
    let own = rig.published.load().own.clone();
    assert_eq!(own.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/other-account");
    assert!(own.workload.is_some_and(|own| own.uid.as_str() == "Kubernetes//Pod/shop/waypoint-0"));
}

#[test]
fn nothing_is_in_force_before_its_own_labels_are_known() {
    let mut rig = Rig::new();
    rig.say_roots();
    rig.say_addresses();
    rig.say(TypeUrl::Labels, Vec::new()).unwrap();
    let spec = json!({ "host": "web", "workloadSelector": { "matchLabels": { "app": "waypoint" } },
        "trafficPolicy": { "tls": { "mode": "SIMPLE" } } });
    rig.say(TypeUrl::Object, vec![object("networking.istio.io/v1", "DestinationRule", &spec)]).unwrap();
    assert_eq!(rig.published.version(), 0);
    rig.say_labels();
    let in_force = rig.published.load();
    let web = rig.mesh.services.iter().find(|service| service.key.hostname.starts_with("web.")).unwrap();
    assert_ne!(in_force.traffic(&web.key, 80, None), Arc::default());
}

#[test]
fn workloads_have_their_labels_whichever_came_first() {
    for labels_first in [true, false] {
        let mut rig = Rig::new();
        rig.say_roots();
        rig.say(TypeUrl::Object, Vec::new()).unwrap();
        if labels_first {
            rig.say_labels();
        }
        rig.say_addresses();
        rig.say_labels();
        assert_eq!(rig.labels().get("version").map(|it| &**it), Some("v1"), "labels first: {labels_first}");
        rig.say_addresses();
        assert_eq!(rig.labels().len(), 2, "a workload that changed has lost them");
        rig.remove(TypeUrl::Labels, "Kubernetes//Pod/shop/web-0");
        assert!(rig.labels().is_empty());
    }
}

#[test]
fn objects_come_change_and_go() {
    let rule = json!({ "directResponse": { "status": 200 } });
    let of = |rules: Vec<&Value>| virtual_service(&json!({ "hosts": ["web"], "http": rules }));
    let (mut rig, said) = Rig::of_objects(vec![of(vec![&rule])]);
    assert_eq!((said, rig.rules()), (Ok(()), 1));
    rig.say(TypeUrl::Object, vec![of(vec![&rule, &rule])]).unwrap();
    assert_eq!(rig.rules(), 2);
    // What was valid stays in force, and the control plane learns why it is not the newest.
    let broken = virtual_service(&json!({ "hosts": ["web"], "htttp": [] }));
    let rejected = rig.say(TypeUrl::Object, vec![broken]).unwrap_err();
    assert!(rejected[0].reason.contains("htttp"), "{rejected:?}");
    assert_eq!(rig.rules(), 2);
    assert_eq!(rig.published.told(), ["VirtualService shop/it"]);
    rig.remove(TypeUrl::Object, "shop/waypoint/VirtualService/shop/it");
    assert_eq!((rig.rules(), rig.published.told().len()), (0, 0));
}

#[test]
fn a_policy_that_was_never_readable_denies_and_a_later_one_does_not() {
    let action = |rig: &Rig| rig.published.load().config.default.authorization.first().map(|it| it.action.clone());
    let (mut rig, said) = Rig::of_objects(vec![policy("rulez")]);
    assert!(said.is_err());
    assert_eq!(action(&rig), Some(HttpAuthorizationAction::Deny));
    rig.say(TypeUrl::Object, vec![policy("rules")]).unwrap();
    assert_eq!(action(&rig), Some(HttpAuthorizationAction::Allow));
    rig.say(TypeUrl::Object, vec![policy("rulez")]).unwrap_err();
    assert_eq!(action(&rig), Some(HttpAuthorizationAction::Allow));
    rig.remove(TypeUrl::Object, "shop/waypoint/AuthorizationPolicy/shop/it");
    assert_eq!(action(&rig), None);
}

#[test]
fn what_is_no_message_is_rejected_and_the_rest_is_taken() {
    let rubbish =
        Received { name: "shop/waypoint/VirtualService/shop/it".into(), version: "1".into(), body: "\u{1}".into() };
    let (rig, said) = Rig::of_objects(vec![rubbish, policy("rules")]);
    assert_eq!(said.unwrap_err().len(), 1);
    assert_eq!(rig.published.load().config.default.authorization.len(), 1);
}
