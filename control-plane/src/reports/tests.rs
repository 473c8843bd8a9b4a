use ambit_resources::{Metadata, Pod, PodSpec};
use ambit_xds::{AuthError, BoundPod};

use super::*;

struct Nobody;

impl Authenticator for Nobody {
    async fn authenticate(&self, _token: &str) -> Result<Caller, AuthError> {
        Err(AuthError::Refused { reason: "nobody".to_owned() })
    }
}

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

#[test]
fn only_agents_whose_pod_is_there_report_and_only_for_the_node_it_is_on() {
    let (world, annotator, troubles) = (mpsc::channel(1).0, mpsc::channel(1).0, mpsc::channel(1).0);
    let accounts = vec!["ambit-system/ztunnel".parse().unwrap()];
    let reports = Reports::new(Arc::new(Nobody), accounts, pods(), Outlet { world, annotator, troubles });
    let caller = |namespace: &str, account: &str, pod: Option<(&str, &str)>, node: Option<&str>| Caller {
        namespace: namespace.to_owned(),
        service_account: account.to_owned(),
        pod: pod.map(|(name, uid)| BoundPod { name: name.to_owned(), uid: uid.to_owned() }),
        node: node.map(str::to_owned),
    };
    let agent = Some(("agent-n1", "uid of agent-n1"));
    for (caller, expected) in [
        (caller("ambit-system", "ztunnel", agent, Some("n1")), Some("n1")),
        (caller("ambit-system", "ztunnel", agent, None), Some("n1")),
        (caller("ambit-system", "ztunnel", agent, Some("n2")), None),
        (caller("ambit-system", "ztunnel", None, Some("n1")), None),
        (caller("ambit-system", "ztunnel", Some(("agent-n1", "uid of its predecessor")), Some("n1")), None),
        (caller("ambit-system", "ztunnel", Some(("gone", "x")), Some("n1")), None),
        (caller("ambit-system", "default", agent, Some("n1")), None),
        (caller("shop", "ztunnel", Some(("web-n1", "uid of web-n1")), Some("n1")), None),
    ] {
        assert_eq!(reports.node(&caller).ok().as_deref(), expected, "{caller:?}");
    }
}
