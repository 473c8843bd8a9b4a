//! The last test: after `helm uninstall` nothing is left, and no pod has noticed.

use anyhow::Result;

use ambit_tests::cluster::{App, Load, Namespace, Node, PATIENCE, Pod, SYSTEM, client, deployment, helm, kubectl};
use ambit_tests::until;

use crate::mesh::{self, RELEASE};

/// What of the mesh may be on a node: files, pins, programs, the entry in the CNI's list. The machine's other
/// processes are outside of the node's cgroups.
const TRACES: [(&str, &str); 4] = [
    ("files", "ls -d /var/lib/ambit/* /var/run/ambit/* /opt/cni/bin/ambit* /sys/fs/bpf/ambit/* 2>/dev/null"),
    ("CNI entries", "grep -l ambit /etc/cni/net.d/* 2>/dev/null"),
    (
        "processes",
        r"for p in /proc/[0-9]*; do grep -q '/\.\.' $p/cgroup || cat $p/comm; done 2>/dev/null | grep -x -e ztunnel -e ambitd",
    ),
    ("rules", "for n in /run/netns/* /var/run/netns/*; do nsenter --net=$n ip rule 2>/dev/null; done | grep -i fwmark"),
];

#[test]
fn nothing_is_left_and_no_pod_is_broken() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("last")?;
    let [connections, requests] = shop
        .start(&[client("connections", 1), client("requests", 2), deployment("web", 2)], ["connections", "requests"])?;
    for pod in shop.pods("app")? {
        pod.wait_enrolled(true)?;
    }
    let url = "http://web/debug";
    connections.wait_answered(url)?;
    let lives = || shop.pods("app")?.iter().map(Pod::incarnation).collect::<Result<Vec<_>>>();
    let before = lives()?;
    let loads = [Load::of_connections(&connections, url)?, Load::of_requests(&requests, url)?];
    let uninstalled = helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout=4m"]);
    let [new, kept] = loads.map(Load::stop);
    uninstalled?;
    let (new, kept) = (new?, kept?);
    println!("new connections: {new:?}\nkept connections: {kept:?}");
    // What a pod has open when it is let go is cut: one request a thread, at each end.
    assert!(new.answered() > 0 && new.failed() <= 8, "{new:?}");
    assert_eq!(lives()?, before, "nothing was restarted");
    for pod in shop.pods("app")? {
        assert!(!pod.is_enrolled()?, "{}", pod.name());
    }
    until("the last of the mesh's own pods", PATIENCE, || {
        kubectl(&["--namespace", SYSTEM, "get", "pods", "--output=name"]).ok().filter(String::is_empty)
    })?;
    for node in Node::ALL {
        for (what, command) in TRACES {
            assert_eq!(node.exec(&format!("{command}; true"))?, "", "{what} on {}", node.name());
        }
    }
    // A pod that starts now starts as ever.
    let [fresh] = shop.start(&[App::idle("fresh").on(1).pod()], ["fresh"])?;
    fresh.wait_answered(url).map(drop)
}
