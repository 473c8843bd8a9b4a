//! One look at all network namespaces of the node.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_model::canonical_ip;
use ambit_sys::NetNs;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::Sought;

/// Device and inode of a namespace.
pub(super) type Inode = (u64, u64);

/// Where to look, and what to pass over.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) directories: Vec<PathBuf>,
    pub(super) processes: PathBuf,
    /// Namespaces known to be of others.
    pub(super) skip: HashSet<Inode>,
    /// Whose some were before, by cookie.
    pub(super) former: HashMap<u64, Arc<str>>,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The namespaces of the pods sought.
    pub(super) found: HashMap<Arc<str>, NetNs>,
    /// The cookies of all namespaces entered.
    pub(super) seen: HashSet<u64>,
}

impl Scan {
    /// Looks once.
    pub(super) fn run(mut self, sought: &[Sought]) -> Found {
        let mut result = Found::default();
        for path in self.directories.iter().flat_map(|directory| entries(directory)).collect::<Vec<_>>() {
            if !self.is_new(&path) {
                continue;
            }
            let Some((netns, addresses)) = self.enter(&path, &mut result.seen) else { continue };
            // While two pods have an address, as one that has just ended and its successor, it tells neither.
            let mut owners = sought.iter().filter(|pod| self.may_be_of(&netns, pod) && pod.has_all_in(&addresses));
            if let (Some(pod), None) = (owners.next(), owners.next()) {
                result.keep_youngest(pod, netns);
            }
        }
        let missing: Vec<_> = sought.iter().filter(|pod| !result.found.contains_key(&pod.pod_uid)).collect();
        if !missing.is_empty() {
            self.search_processes(&missing, &mut result);
        }
        result
    }

    fn search_processes(&mut self, missing: &[&Sought], result: &mut Found) {
        let is_process = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok())
        };
        for process in entries(&self.processes).into_iter().filter(is_process) {
            let path = process.join("ns/net");
            if inode(&path).is_none_or(|inode| self.skip.contains(&inode)) {
                continue;
            }
            let Ok(cgroup) = fs::read_to_string(process.join("cgroup")) else { continue };
            let Some(pod) = missing.iter().find(|pod| pod.owns_cgroup(&cgroup)) else { continue };
            if !self.is_new(&path) {
                continue;
            }
            let Some((netns, addresses)) = self.enter(&path, &mut result.seen) else { continue };
            if self.may_be_of(&netns, pod) && pod.has_all_in(&addresses) {
                result.keep_youngest(pod, netns);
            }
        }
    }

    /// Whether there is a namespace at `path` that was not looked at yet.
    fn is_new(&mut self, path: &Path) -> bool {
        inode(path).is_some_and(|inode| self.skip.insert(inode))
    }

    fn may_be_of(&self, netns: &NetNs, pod: &Sought) -> bool {
        self.former.get(&netns.cookie()).is_none_or(|owner| *owner == pod.pod_uid)
    }

    /// A namespace and its addresses; `None` for what is none, or is gone.
    fn enter(&self, path: &Path, seen: &mut HashSet<u64>) -> Option<(NetNs, HashSet<IpAddr>)> {
        let netns = NetNs::open(path).ok()?;
        seen.insert(netns.cookie());
        let addresses = netns.run(addresses_here).ok()??;
        Some((netns, addresses))
    }
}

impl Found {
    /// Of several with the pod's addresses the youngest is its own: the others are left over.
    fn keep_youngest(&mut self, pod: &Sought, netns: NetNs) {
        let older = self.found.get(&pod.pod_uid).is_none_or(|before| before.cookie() < netns.cookie());
        if older {
            self.found.insert(Arc::clone(&pod.pod_uid), netns);
        }
    }
}

impl Sought {
    fn has_all_in(&self, addresses: &HashSet<IpAddr>) -> bool {
        !self.addresses.is_empty() && self.addresses.iter().all(|address| addresses.contains(&canonical_ip(*address)))
    }

    /// Whether a process's cgroup is the pod's: the kubelet names it after the pod's uid, with underscores
    /// where systemd makes it.
    fn owns_cgroup(&self, cgroup: &str) -> bool {
        let uid = self.pod_uid.as_ref();
        !uid.is_empty()
            && [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))].iter().any(|name| {
                cgroup.split(['/', '\n']).any(|part| {
                    let part = part.strip_suffix(".slice").unwrap_or(part);
                    part == name || part.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('-'))
                })
            })
    }
}

/// All namespaces in these folders, each once, but for the host's.
pub(super) fn namespaces(directories: &[PathBuf], host: Inode) -> Vec<NetNs> {
    let mut seen = HashSet::from([host]);
    let paths = directories.iter().flat_map(|directory| entries(directory));
    let new = paths.filter(|path| inode(path).is_some_and(|inode| seen.insert(inode)));
    new.filter_map(|path| NetNs::open(&path).ok()).collect()
}

/// The paths in a folder; none where it is not there.
fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn inode(path: &Path) -> Option<Inode> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The addresses of the namespace this thread is in, but for loopback's.
pub(crate) fn addresses_here() -> Option<HashSet<IpAddr>> {
    let all = getifaddrs().ok()?.filter(|interface| !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK));
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    Some(all.filter_map(|interface| interface.address.and_then(ip)).map(canonical_ip).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_the_pods_only_by_its_whole_uid() {
        let uid = "0d1c8f2e-7a1b-4c3d-9e8f-001122334455";
        let pod = Sought { pod_uid: uid.into(), addresses: Vec::new() };
        let systemd = uid.replace('-', "_");
        for (cgroup, owned) in [
            (format!("0::/kubepods/besteffort/pod{uid}/3f2a\n"), true),
            (format!("0::/kubepods/pod{uid}\n"), true),
            (
                format!(
                    "0::/../../kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{systemd}.slice/x.scope"
                ),
                true,
            ),
            (format!("0::/kubepods.slice/kubepods-pod{systemd}.slice/cri-containerd-1.scope"), true),
            (format!("0::/kubepods/besteffort/pod{uid}0/3f2a\n"), false),
            (format!("0::/kubepods/besteffort/xpod{uid}/3f2a\n"), false),
            ("0::/kubepods/besteffort/pod/3f2a\n".to_owned(), false),
            ("0::/system.slice/sshd.service\n".to_owned(), false),
        ] {
            assert_eq!(pod.owns_cgroup(&cgroup), owned, "{cgroup}");
        }
        let nobody = Sought { pod_uid: "".into(), addresses: Vec::new() };
        assert!(!nobody.owns_cgroup("0::/kubepods/pod/x"));
    }

    #[test]
    fn a_namespace_must_have_all_addresses() {
        let [one, two]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let pod = |addresses: &[IpAddr]| Sought { pod_uid: "u".into(), addresses: addresses.to_vec() };
        assert!(pod(&[one]).has_all_in(&HashSet::from([one, two])));
        assert!(!pod(&[one, two]).has_all_in(&HashSet::from([one])));
        assert!(!pod(&[]).has_all_in(&HashSet::from([one])), "no address is no match");
    }
}
