//! Pods whose object is gone while nobody let them go. Deleted by force, a pod's processes may go on for
//! as long as the kubelet takes; deleted in peace, its network has ended before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::WorkloadUid;

use super::{Enrolled, Enrolment};
use crate::outlet::LocalPod;
use crate::pod::SharedPod;

/// How long such a pod stays captured at most.
const PATIENCE: Duration = Duration::from_secs(300);

/// A pod whose object is gone, captured and not served.
pub(super) struct Orphan {
    pub(super) pod: SharedPod,
    pod_uid: Arc<str>,
    since: Instant,
}

impl Enrolment {
    /// A pod is not wanted any more. Where nobody let it go, its object alone may have been deleted, by
    /// force, while its processes go on: it is served no more but stays captured, and so is refused, never
    /// plaintext.
    pub(super) fn lose(&mut self, enrolled: Enrolled, let_go: bool) {
        if self.finder.is_none() || let_go {
            self.release(&enrolled.pod);
            return;
        }
        let cookie = enrolled.pod.netns.cookie();
        self.dismiss(cookie);
        tracing::info!(pod = %enrolled.pod.uid, "gone; it stays captured while its network may be there");
        self.orphans.insert(cookie, Orphan::new(enrolled.pod, enrolled.wanted.pod_uid));
    }

    /// Lets go of those whose capture is to end.
    pub(super) fn end_orphans(&mut self, pods: &[LocalPod]) {
        let now = Instant::now();
        for (_, orphan) in self.orphans.extract_if(.., |_, orphan| orphan.is_over(pods, now)).collect::<Vec<_>>() {
            self.release(&orphan.pod);
        }
    }
}

impl Orphan {
    fn new(pod: SharedPod, pod_uid: Arc<str>) -> Self {
        Self { pod, pod_uid, since: Instant::now() }
    }

    /// Whether its object is there again.
    pub(super) fn is_among(&self, pods: &[LocalPod]) -> bool {
        pods.iter().any(|pod| pod.pod_uid == self.pod_uid)
    }

    /// Whether its capture is to end: somebody let it go, its namespace is gone from its place, or it was
    /// kept long enough.
    fn is_over(&self, pods: &[LocalPod], now: Instant) -> bool {
        is_let_go(pods, &self.pod.uid, &self.pod_uid)
            || !self.pod.netns.is_in_place()
            || now.duration_since(self.since) > PATIENCE
    }
}

/// Whether somebody said that the pod is not to be captured any more; not of one of the same name.
pub(super) fn is_let_go(pods: &[LocalPod], uid: &WorkloadUid, pod_uid: &Arc<str>) -> bool {
    pods.iter().any(|pod| pod.uid == *uid && pod.pod_uid == *pod_uid && !pod.enrol)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use ambit_sys::NetNs;

    use super::*;
    use crate::guest::Seat;
    use crate::pod::Pod;

    fn local(name: &str, pod_uid: &str, enrol: bool) -> LocalPod {
        let uid = WorkloadUid::pod("Kubernetes", "shop", name);
        LocalPod { uid, pod_uid: pod_uid.into(), enrol, ended: false, host_ports: Box::default(), netns: None }
    }

    #[test]
    fn a_pod_without_an_object_stays_captured_until_its_network_is_gone_or_somebody_lets_it_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cni-1");
        symlink("/proc/self/ns/net", &path).unwrap();
        // Entering the own namespace takes rights that tests may lack.
        let Ok(netns) = NetNs::open(&path) else { return };
        let uid = WorkloadUid::pod("Kubernetes", "shop", "web");
        let pod = Pod { uid, netns: Arc::new(netns), addresses: vec!["10.0.0.1".parse().unwrap()], seat: Seat::Inside };
        let orphan = Orphan::new(Arc::new(pod), "u1".into());
        let (now, late) = (orphan.since, orphan.since + PATIENCE + Duration::from_secs(1));
        for (what, pods, at, over) in [
            ("its object is gone", vec![], now, false),
            ("its object is there again", vec![local("web", "u1", true)], now, false),
            ("it was let go", vec![local("web", "u1", false)], now, true),
            ("a successor of its name is left alone", vec![local("web", "u2", false)], now, false),
            ("another pod is left alone", vec![local("other", "u3", false)], now, false),
            ("it was kept long enough", vec![], late, true),
        ] {
            assert_eq!(orphan.is_over(&pods, at), over, "{what}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(orphan.is_over(&[], now), "its namespace is gone");
    }
}
