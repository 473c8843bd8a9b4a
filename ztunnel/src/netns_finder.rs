//! Finds the network namespaces of pods where nobody named them: running pods when the agent comes, or
//! all of them where there is no CNI plugin of ours.
//!
//! A namespace in a folder of the container runtime is the pod's whose addresses it has. A namespace of
//! a process is the pod's only if the process is in the pod's cgroup as well: any process may make a
//! namespace of its own and give it another pod's addresses, to be taken for that pod. The node's own
//! namespace is nobody's.

mod scan;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_sys::{NetNs, NetNsError};

pub(crate) use scan::addresses_here;
use scan::{Inode, Scan};

/// How often the same pods are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(900);

/// All namespaces in these folders, but for the node's own.
///
/// # Errors
/// When the node's own cannot be opened.
pub(crate) fn namespaces(directories: &[PathBuf]) -> Result<Vec<NetNs>, NetNsError> {
    Ok(scan::namespaces(directories, NetNs::own()?.inode()))
}

/// A pod whose namespace is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sought {
    /// Kubernetes' `metadata.uid`.
    pub(crate) pod_uid: Arc<str>,
    /// All its addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// What was found, remembered by pod.
#[derive(Debug)]
pub(crate) struct NetnsFinder {
    directories: Vec<PathBuf>,
    processes: PathBuf,
    host: Inode,
    found: HashMap<Arc<str>, Arc<NetNs>>,
    /// Whose the namespaces were that are not looked for any more, by cookie, while they linger: not to be
    /// taken for those of other pods, who may have the same addresses by now.
    former: HashMap<u64, Arc<str>>,
    /// What was looked for last, and when.
    last: Option<(Instant, Vec<Sought>)>,
}

impl NetnsFinder {
    /// Looks in these folders, then in those of processes (`/proc`).
    ///
    /// # Errors
    /// When the node's own namespace cannot be opened.
    pub(crate) fn new(directories: Vec<PathBuf>, processes: PathBuf) -> Result<Self, NetNsError> {
        let host = NetNs::own()?.inode();
        Ok(Self { directories, processes, host, found: HashMap::new(), former: HashMap::new(), last: None })
    }

    /// The namespace of a pod, if it was found.
    pub(crate) fn netns_of(&self, pod_uid: &str) -> Option<&Arc<NetNs>> {
        self.found.get(pod_uid)
    }

    /// Looks for the namespaces of these pods, where they are not known; forgets those of all others.
    /// `taken` are namespaces known to be of other pods.
    pub(crate) async fn find(&mut self, sought: &[Sought], taken: &[Arc<NetNs>]) {
        self.forget_all_but(sought);
        // A path that leads elsewhere by now says that the runtime made the pod's sandbox anew, or just that
        // the process is gone through which the namespace was found.
        let missing: Vec<Sought> = sought
            .iter()
            .filter(|pod| !self.found.get(&pod.pod_uid).is_some_and(|netns| netns.is_in_place()))
            .cloned()
            .collect();
        let recent = |(at, last): &(Instant, Vec<Sought>)| *last == missing && at.elapsed() < LOOK_AGAIN;
        if missing.is_empty() || self.last.as_ref().is_some_and(recent) {
            return;
        }
        self.last = Some((Instant::now(), missing.clone()));
        let known = self.found.iter().filter(|(pod_uid, _)| missing.iter().all(|pod| pod.pod_uid != **pod_uid));
        let known = known.map(|(_, netns)| netns).chain(taken);
        let scan = Scan {
            directories: self.directories.clone(),
            processes: self.processes.clone(),
            skip: known.map(|netns| netns.inode()).chain([self.host]).collect(),
            former: self.former.clone(),
        };
        // On a thread of its own: there may be hundreds of namespaces to enter.
        let Ok(result) = tokio::task::spawn_blocking(move || scan.run(&missing)).await else { return };
        self.former.retain(|cookie, _| result.seen.contains(cookie));
        for (pod_uid, netns) in result.found {
            if self.found.get(&pod_uid).is_none_or(|before| before.cookie() != netns.cookie()) {
                tracing::info!(pod = %pod_uid, netns = %netns.path().display(), "found the network namespace");
            }
            self.found.insert(pod_uid, Arc::new(netns));
        }
    }

    fn forget_all_but(&mut self, sought: &[Sought]) {
        let sought: HashSet<&Arc<str>> = sought.iter().map(|pod| &pod.pod_uid).collect();
        let former = &mut self.former;
        self.found.retain(|pod_uid, netns| {
            let keep = sought.contains(pod_uid);
            if !keep {
                former.insert(netns.cookie(), Arc::clone(pod_uid));
            }
            keep
        });
    }
}
