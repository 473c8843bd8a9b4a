use ambit_identity::{CaOptions, CertificateAuthority};
use ambit_model::{Action, Authorization, PolicyKey, Scope};
use ambit_state::Shared;
use ambit_xds::{Received, encode};
use prost::Message;

use super::*;
use crate::cluster::fixtures::{node_pod, workload};
use crate::outlet::Published;

/// A source, and what comes out of it.
struct Rig {
    cluster: Cluster,
    state: Arc<Shared>,
    published: watch::Receiver<Published>,
}

impl Rig {
    fn new(kept: Option<&Held>) -> Self {
        let state = Arc::<Shared>::default();
        let (version, _) = watch::channel(0);
        let (sender, published) = watch::channel(Published::default());
        let metrics = crate::app::metrics().agent;
        let outlet = Outlet { state: Arc::clone(&state), version, published: sender, metrics };
        let folder = tempfile::tempdir().unwrap();
        CertificateAuthority::open_or_create(folder.path(), CaOptions::new("cluster.local")).unwrap();
        let bundle = TrustBundle::load(&CertificateAuthority::roots_path(folder.path())).unwrap();
        Self { cluster: Cluster::new(outlet, Arc::new(bundle), kept), state, published }
    }

    /// All the control plane has to say of a type.
    fn say(&self, type_url: TypeUrl, resources: Vec<Received>) -> Result<(), Vec<Rejected>> {
        self.cluster.take(Update { type_url, resources, removed: Vec::new(), first_complete: true })
    }

    /// Workloads and policies in force; none where nothing is.
    fn in_force(&self) -> Option<(usize, usize)> {
        let snapshot = self.state.load();
        (self.state.version() > 0).then(|| (snapshot.workloads().count(), snapshot.policies().count()))
    }

    /// How many rules the policies in force have: the one that is said has none, its stand-in one.
    fn rules(&self) -> usize {
        self.state.load().policies().map(|policy| policy.rules.len()).sum()
    }

    fn problem(&self) -> String {
        self.published.borrow().problem.clone().unwrap_or_default()
    }
}

fn received(name: &str, message: &impl Message) -> Received {
    Received { name: name.into(), version: "1".into(), body: message.encode_to_vec().into() }
}

fn web() -> Received {
    let web = workload("web", &["10.0.0.1".parse().unwrap()]);
    received(web.uid.as_str(), &encode::address_of_workload(&web))
}

fn pod() -> Received {
    let web = workload("web", &[]);
    received(web.uid.clone().as_str(), &encode::pod(&node_pod(web, "u1", true)))
}

fn policy() -> Received {
    let policy = Authorization {
        key: PolicyKey { namespace: "shop".into(), name: "deny".into() },
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: Vec::new(),
        dry_run: false,
    };
    received("shop/deny", &encode::authorization(&policy))
}

fn broken() -> Received {
    Received { name: "shop/deny".into(), version: "2".into(), body: Bytes::from_static(b"\xff") }
}

/// A last good state of one workload and one policy.
fn kept() -> Held {
    let rig = Rig::new(None);
    rig.say(TypeUrl::Authorization, vec![policy()]).unwrap();
    rig.say(TypeUrl::Address, vec![web()]).unwrap();
    rig.cluster.lock().mesh.held().clone()
}

#[test]
fn nothing_is_in_force_before_everything_was_said() {
    let rig = Rig::new(None);
    rig.say(TypeUrl::Authorization, vec![policy()]).unwrap();
    rig.say(TypeUrl::Address, vec![web()]).unwrap();
    rig.cluster.fall_back("no route to host");
    assert_eq!(rig.in_force(), None);
    assert!(rig.problem().contains("no route to host"));
    assert!(rig.cluster.pod("shop", "web").is_none());
    rig.say(TypeUrl::Pod, vec![pod()]).unwrap();
    assert_eq!((rig.in_force(), rig.problem()), (Some((1, 1)), String::new()));
    assert_eq!(rig.published.borrow().pods.len(), 1);
    assert!(rig.cluster.pod("shop", "web").is_some());
}

#[test]
fn the_last_good_state_takes_the_place_of_a_control_plane_that_is_away_and_no_other() {
    let kept = kept();
    let rig = Rig::new(Some(&kept));
    assert_eq!(rig.in_force(), None, "the control plane may be there");
    assert_eq!(rig.cluster.versions()[&TypeUrl::Authorization].len(), 1);
    rig.cluster.fall_back("no route to host");
    assert_eq!(rig.in_force(), Some((1, 1)));

    // What it says then is what changed.
    let removed = vec!["shop/deny".to_owned()];
    let gone = Update { type_url: TypeUrl::Authorization, resources: Vec::new(), removed, first_complete: true };
    rig.cluster.take(gone).unwrap();
    assert_eq!(rig.in_force(), Some((1, 0)));

    let rig = Rig::new(Some(&kept));
    for of in NEEDED {
        rig.say(of, Vec::new()).unwrap();
    }
    assert_eq!(rig.in_force(), Some((1, 1)), "nothing changed since");
}

#[test]
fn a_policy_that_was_never_valid_denies_its_namespace_until_it_is_and_a_later_one_nothing() {
    let rig = Rig::new(None);
    assert_eq!(rig.say(TypeUrl::Authorization, vec![broken()]).unwrap_err().len(), 1);
    rig.say(TypeUrl::Address, vec![web()]).unwrap();
    rig.say(TypeUrl::Pod, vec![pod()]).unwrap();
    assert_eq!((rig.in_force(), rig.rules()), (Some((1, 1)), 1));
    assert_eq!(rig.problem(), "", "nothing else is affected");

    // An agent that starts goes by the same rule, from what was kept as from what is said.
    let kept = rig.cluster.lock().mesh.held().clone();
    let restarted = Rig::new(Some(&kept));
    restarted.cluster.fall_back("no route to host");
    assert_eq!((restarted.in_force(), restarted.rules()), (Some((1, 1)), 1));

    rig.say(TypeUrl::Authorization, vec![policy()]).unwrap();
    assert_eq!((rig.in_force(), rig.rules()), (Some((1, 1)), 0));
    rig.say(TypeUrl::Authorization, vec![broken()]).unwrap_err();
    assert_eq!((rig.in_force(), rig.rules()), (Some((1, 1)), 0));
}

#[tokio::test]
async fn what_is_kept_is_complete_and_the_rest_of_the_mesh_can_wait() {
    let rig = Rig::new(None);
    rig.say(TypeUrl::Address, vec![web()]).unwrap();
    let later = || Instant::now() + std::time::Duration::from_secs(3600);
    let mut held = std::pin::pin!(rig.cluster.next_held(later()));
    assert!(poll_once(held.as_mut()).is_none(), "a state without its policies was kept");
    rig.say(TypeUrl::Authorization, vec![policy()]).unwrap();
    rig.say(TypeUrl::Pod, vec![pod()]).unwrap();
    assert_eq!(held.await.iter().count(), 3);

    let other = workload("other", &["10.0.0.9".parse().unwrap()]);
    let other = || received(other.uid.as_str(), &encode::address_of_workload(&other));
    for (what, of, resources, at_once) in [
        ("a workload of another node", TypeUrl::Address, vec![other()], false),
        ("a pod of this node", TypeUrl::Address, vec![web()], true),
        ("its enrolment", TypeUrl::Pod, vec![pod()], true),
        ("a policy", TypeUrl::Authorization, vec![policy()], true),
    ] {
        rig.say(of, resources).unwrap();
        let mut held = std::pin::pin!(rig.cluster.next_held(later()));
        assert_eq!(poll_once(held.as_mut()).is_some(), at_once, "{what}");
    }
    rig.say(TypeUrl::Address, vec![other()]).unwrap();
    rig.cluster.next_held(Instant::now()).await;
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
