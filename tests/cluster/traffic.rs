//! A namespace with load on it, for the tests that break parts of the mesh meanwhile.

use anyhow::Result;

use ambit_tests::cluster::{Load, Namespace, Pod, Report, client, deployment};

use crate::mesh;

/// The server's URL.
pub(crate) const URL: &str = "http://web/debug";

/// A meshed namespace: servers on both nodes, a client that makes connections, one that keeps them.
pub(crate) struct Loaded {
    /// The namespace.
    pub(crate) shop: Namespace,
    /// Both clients, on node 1.
    pub(crate) clients: [Pod; 2],
}

impl Loaded {
    /// Sets it up; nothing is asked yet.
    pub(crate) fn prepare(name: &str) -> Result<Self> {
        mesh::installed()?;
        let shop = Namespace::meshed(name)?;
        let manifests = [client("connections", 1), client("requests", 1), deployment("web", 2)];
        let clients = shop.start(&manifests, ["connections", "requests"])?;
        for pod in shop.pods("app")? {
            pod.wait_enrolled(true)?;
        }
        clients[0].wait_answered(URL)?;
        Ok(Self { shop, clients })
    }

    /// Does `work` while servers are asked; gives what became of new connections, and of kept ones.
    #[expect(clippy::print_stdout, reason = "figures of the test that asks for them")]
    pub(crate) fn during(&self, work: impl FnOnce() -> Result<()>) -> Result<[Report; 2]> {
        let loads = [Load::of_connections(&self.clients[0], URL)?, Load::of_requests(&self.clients[1], URL)?];
        let worked = work();
        let [connections, requests] = loads.map(Load::stop);
        worked?;
        let reports = [connections?, requests?];
        for (what, report) in ["new connections", "kept connections"].iter().zip(&reports) {
            println!(
                "{what}: {} answered, {} not; the longest took {:.3} s; {} connections",
                report.answered(),
                report.failed(),
                report.durations.longest,
                report.connections,
            );
        }
        Ok(reports)
    }

    /// Does `work` while servers are asked, and checks that every request was answered.
    pub(crate) fn undisturbed_by(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.during(work)?.iter().try_for_each(Report::all_answered)
    }
}
