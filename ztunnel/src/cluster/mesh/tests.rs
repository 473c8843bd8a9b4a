use std::net::IpAddr;

use ambit_model::{Action, Authorization, PolicyKey, Scope};
use ambit_state::Snapshot;
use ambit_xds::encode;
use prost::Message;

use super::*;
use crate::cluster::fixtures::{node_pod, workload};

const UID: &str = "Kubernetes//Pod/shop/web";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn put(mesh: &mut Mesh, of: TypeUrl, name: &str, message: &impl Message) {
    mesh.put(of, &name.into(), Kept { version: "1".into(), body: message.encode_to_vec().into() }).unwrap();
}

fn put_address(mesh: &mut Mesh, addresses: &[IpAddr]) {
    put(mesh, TypeUrl::Address, UID, &encode::address_of_workload(&workload("web", addresses)));
}

fn put_pod(mesh: &mut Mesh, pod_uid: &str, enrol: bool) {
    put(mesh, TypeUrl::Pod, UID, &encode::pod(&node_pod(workload("web", &[]), pod_uid, enrol)));
}

fn sandbox(container_id: &str, pod_uid: Option<&str>, address: &str) -> Sandbox {
    let netns = Some(Arc::new(ambit_sys::NetNs::own().unwrap()));
    let pod_uid = pod_uid.map(str::to_owned);
    Sandbox { container_id: container_id.to_owned(), pod_uid, addresses: vec![ip(address)], netns }
}

/// The addresses of the pod in the snapshot; `None` where it is not there.
fn addresses(mesh: &mut Mesh, snapshot: &mut Snapshot) -> Option<Vec<IpAddr>> {
    *snapshot = snapshot.apply(mesh.take_steps()).0;
    snapshot.workload(&WorkloadUid::new(UID)).map(|workload| workload.addresses.to_vec())
}

/// Entering the own namespace takes rights that tests may lack.
fn may_open_namespaces() -> bool {
    ambit_sys::NetNs::own().is_ok()
}

#[test]
fn a_pod_is_known_by_its_sandbox_until_discovery_knows_it_and_no_longer_than_itself() {
    if !may_open_namespaces() {
        return;
    }
    let (mut mesh, mut snapshot) = (Mesh::default(), Snapshot::default());
    let (mesh, snapshot) = (&mut mesh, &mut snapshot);
    let (first, second) = (vec![ip("10.0.0.1")], vec![ip("10.0.0.2")]);

    mesh.add_sandbox("shop", "web", sandbox("c1", Some("u1"), "10.0.0.1"));
    assert_eq!(addresses(mesh, snapshot), None, "nobody has spoken of the pod");
    put_pod(mesh, "u1", true);
    assert_eq!(addresses(mesh, snapshot), Some(first.clone()));
    put_address(mesh, &first);
    assert_eq!(addresses(mesh, snapshot), Some(first.clone()));
    assert_eq!(mesh.local_pods().len(), 1);

    // Its successor of the same name, on its way.
    put_pod(mesh, "u2", true);
    assert!(mesh.local_pods()[0].netns.is_none(), "the sandbox of another pod was taken for its own");
    mesh.add_sandbox("shop", "web", sandbox("c2", Some("u2"), "10.0.0.2"));
    assert_eq!(addresses(mesh, snapshot), Some(second.clone()), "discovery still speaks of its predecessor");
    mesh.end_sandbox("shop", "web", "c1");
    assert!(mesh.local_pods()[0].netns.is_some(), "a late word on the former sandbox ended the new one");

    mesh.end_sandbox("shop", "web", "c2");
    let pods = mesh.local_pods();
    assert!(pods[0].ended && !pods[0].enrol, "its network ends");
    mesh.remove(TypeUrl::Address, UID).unwrap();
    mesh.remove(TypeUrl::Pod, UID).unwrap();
    assert_eq!(addresses(mesh, snapshot), None);
}

#[test]
fn a_pod_that_is_not_to_be_enrolled_is_what_discovery_says() {
    if !may_open_namespaces() {
        return;
    }
    let (mut mesh, mut snapshot) = (Mesh::default(), Snapshot::default());
    put_pod(&mut mesh, "u1", false);
    mesh.add_sandbox("shop", "web", sandbox("c1", None, "10.0.0.1"));
    assert_eq!(addresses(&mut mesh, &mut snapshot), None);
    put_address(&mut mesh, &[]);
    assert_eq!(addresses(&mut mesh, &mut snapshot), Some(vec![]));
    put_pod(&mut mesh, "u1", true);
    assert_eq!(addresses(&mut mesh, &mut snapshot), Some(vec![ip("10.0.0.1")]), "labelled while it starts");
}

#[test]
fn pods_of_other_nodes_come_and_go() {
    let (mut mesh, mut snapshot) = (Mesh::default(), Snapshot::default());
    put_address(&mut mesh, &[ip("10.0.0.1")]);
    assert_eq!(mesh.steps.len(), 1);
    assert_eq!(addresses(&mut mesh, &mut snapshot), Some(vec![ip("10.0.0.1")]));
    assert!(mesh.local_pods().is_empty());
    mesh.remove(TypeUrl::Address, UID).unwrap();
    assert_eq!(addresses(&mut mesh, &mut snapshot), None);
}

#[test]
fn what_is_not_valid_leaves_what_was() {
    let mut mesh = Mesh::default();
    let policy = Authorization {
        key: PolicyKey { namespace: "shop".into(), name: "deny".into() },
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: Vec::new(),
        dry_run: false,
    };
    let broken = || Kept { version: "2".into(), body: Bytes::from_static(b"\xff") };
    mesh.put(TypeUrl::Authorization, &"shop/other".into(), broken()).unwrap_err();
    assert!(mesh.lacks(TypeUrl::Authorization, "shop/other"), "a policy that was never valid is missed");
    put(&mut mesh, TypeUrl::MeshedNamespace, "shop/other", &encode::meshed_namespace("shop/other"));
    assert!(mesh.lacks(TypeUrl::Authorization, "shop/other"), "no resource of another type takes its place");
    put(&mut mesh, TypeUrl::Authorization, "shop/deny", &encode::authorization(&policy));
    mesh.put(TypeUrl::Authorization, &"shop/deny".into(), broken()).unwrap_err();
    assert!(!mesh.lacks(TypeUrl::Authorization, "shop/deny"), "one that was valid before is not");
    let kept = mesh.held().find(TypeUrl::Authorization, "shop/deny").unwrap();
    assert_eq!(&*kept.version, "1", "what is not in force is not said to be held");
    let kept = mesh.held().find(TypeUrl::Authorization, "shop/other").unwrap();
    assert_eq!(&*kept.version, "", "what is stood in for is to be sent again");
    mesh.remove(TypeUrl::Authorization, "shop/other").unwrap();
    assert!(!mesh.lacks(TypeUrl::Authorization, "shop/other"));
    assert_eq!(Snapshot::default().apply(mesh.take_steps()).0.policies().count(), 1);
}
