use ambit_resources::{Metadata, Pod, PodSpec};

use super::*;

/// Two nodes, each with an agent and a pod `web-<node>`.
fn pods() -> Arc<Pods> {
    let pods = Pods::new("Kubernetes".into(), "cluster.local".into());
    for node in ["n1", "n2"] {
        for (namespace, name) in [("ambit-system", "agent"), ("shop", "web")] {
            let name = format!("{name}-{node}");
            let metadata = Metadata { uid: format!("uid of {name}"), ..Metadata::default() };
            let spec = PodSpec { node_name: node.to_owned(), ..PodSpec::default() };
            pods.put(&namespace.into(), &name.into(), &Pod { metadata, spec, ..Pod::default() });
        }
    }
    Arc::new(pods)
}

fn report(uid: &str, pod_uid: &str, state: State) -> PodReport {
    PodReport { uid: uid.to_owned(), pod_uid: pod_uid.to_owned(), state: state.into(), reason: "r".repeat(5000) }
}

#[test]
fn a_node_speaks_for_its_own_pods_only() {
    let pods = pods();
    let uid = "Kubernetes//Pod/shop/web-n1";
    for (node, uid, pod_uid, state, expected) in [
        ("n1", uid, "uid of web-n1", State::Enrolled, Some((true, None))),
        ("n1", uid, "uid of web-n1", State::Released, Some((false, None))),
        ("n1", uid, "uid of web-n1", State::Failed, Some((false, Some(MAX_REASON)))),
        ("n1", uid, "uid of web-n1", State::Unknown, None),
        ("n2", uid, "uid of web-n1", State::Enrolled, None),
        ("n1", uid, "uid of its predecessor", State::Enrolled, None),
        ("n1", uid, "", State::Enrolled, None),
        ("n1", "Kubernetes//Pod/shop/none", "uid of web-n1", State::Enrolled, None),
        ("n1", "", "", State::Enrolled, None),
    ] {
        let judged = judge(&pods, node, report(uid, pod_uid, state));
        let found = judged.map(|judged| (judged.enrolled, judged.trouble.map(|reason| reason.len())));
        assert_eq!(found, expected, "{node} {uid} {pod_uid} {state:?}");
    }
    let unheard_of = PodReport { state: 99, ..report(uid, "uid of web-n1", State::Enrolled) };
    assert_eq!(judge(&pods, "n1", unheard_of), None);
}
