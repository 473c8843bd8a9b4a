//! The programs of the cluster that Debian does not have, and where they are kept once built: outside
//! the tree, for every tree and every cluster.

use std::path::{Path, PathBuf};

/// A program installed as a Go module.
pub(super) struct GoProgram {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) version: &'static str,
}

/// All of them but Kubernetes, whose modules need more than `go install` can be told.
pub(super) const GO_PROGRAMS: [GoProgram; 4] = [
    GoProgram { name: "coredns", package: "github.com/coredns/coredns", version: "1.15.0" },
    // The newest needs a module that is not published.
    GoProgram { name: "fortio", package: "fortio.org/fortio", version: "1.68.2" },
    // Its major version is in no path.
    GoProgram { name: "h2spec", package: "github.com/summerwind/h2spec/cmd/h2spec", version: "2.2.1+incompatible" },
    GoProgram { name: "helm", package: "helm.sh/helm/v4/cmd/helm", version: "4.3.1" },
];

/// What `tests/cluster/kubernetes` is, by the name it is started by.
pub(super) const KUBERNETES_PROGRAMS: [&str; 7] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

/// The folder with all programs.
pub(super) fn folder() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/ambit");
    std::env::var_os("AMBIT_CACHE").map_or_else(home, PathBuf::from).join("cluster")
}

/// Where a program is.
pub(super) fn path(name: &str) -> PathBuf {
    folder().join(name)
}
