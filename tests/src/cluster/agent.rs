//! The node agent on a node.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Node, PATIENCE, Pod, kubectl, object};
use crate::agent::http;
use crate::{AccessLine, Metrics, until};

/// The mesh's own namespace.
pub const SYSTEM: &str = "ambit-system";

const ADMIN: u16 = 15000;
pub(super) const METRICS: u16 = 15020;

/// The agent of a node, as a pod of the cluster.
#[derive(Debug, Clone)]
pub struct Agent {
    node: Node,
    pod: Pod,
}

impl Agent {
    /// The one that is ready, or on its way to it, on a node.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn on(node: Node) -> Result<Self> {
        let on_node = format!("--field-selector=spec.nodeName={}", node.name());
        let list = object(&["--namespace", SYSTEM, "pods", "--selector=app.kubernetes.io/name=ztunnel", &on_node])?;
        let pods = list.pointer("/items").and_then(Value::as_array).context("no list")?;
        // A predecessor may still be on its way out.
        let current = pods.iter().find(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        let name = current.and_then(|pod| pod.pointer("/metadata/name")).and_then(Value::as_str);
        let name = name.with_context(|| format!("no agent on {}", node.name()))?;
        Ok(Self { node, pod: Pod::named(SYSTEM, name) })
    }

    /// Its pod.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The connections it told of so far.
    ///
    /// # Errors
    /// Fails when its log cannot be read.
    pub fn access_log(&self) -> Result<Vec<AccessLine>> {
        let log = self.pod.log()?;
        let lines = log.lines().filter_map(AccessLine::parse);
        Ok(lines.filter(|line| !line.field("direction").is_empty()).collect())
    }

    /// Waits until it tells of a connection.
    ///
    /// # Errors
    /// Fails when it does not.
    pub fn wait_access(&self, wanted: impl Fn(&AccessLine) -> bool) -> Result<AccessLine> {
        let found = until("a line of the access log", PATIENCE, || {
            self.access_log().ok()?.into_iter().find(|line| wanted(line))
        });
        found.with_context(|| format!("{:#?}", self.access_log()))
    }

    /// Its figures.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::read(SocketAddr::from((self.node.ip(), METRICS)))
    }

    /// The certificate it holds for an identity, by its serial number.
    ///
    /// # Errors
    /// Fails when it holds none.
    pub fn serial(&self, identity: &str) -> Result<String> {
        self.of_certificate(identity, "serial")
    }

    /// The same certificate and those it was signed by, in PEM.
    ///
    /// # Errors
    /// Fails when it holds none.
    pub fn chain(&self, identity: &str) -> Result<String> {
        self.of_certificate(identity, "chain")
    }

    fn of_certificate(&self, identity: &str, field: &str) -> Result<String> {
        let dump = self.certificates()?;
        let held = dump.pointer("/certificates").and_then(Value::as_array).context("no certificates")?;
        let own = held.iter().find(|certificate| certificate.get("identity").is_some_and(|own| own == identity));
        Ok(own.and_then(|own| own.get(field)?.as_str()).context("no such certificate")?.to_owned())
    }

    /// The roots it believes its peers behind, in PEM.
    ///
    /// # Errors
    /// Fails when it does not say.
    pub fn roots(&self) -> Result<String> {
        Ok(self.certificates()?.pointer("/roots").and_then(Value::as_str).context("no roots")?.to_owned())
    }

    fn certificates(&self) -> Result<Value> {
        Ok(self.dump()?.get_mut("certificates").context("no certificates")?.take())
    }

    /// What it knows of a service, by its host name.
    ///
    /// # Errors
    /// Fails when it knows none.
    pub fn service(&self, hostname: &str) -> Result<Value> {
        let dump = self.dump()?;
        let all = dump.pointer("/services").and_then(Value::as_array).context("no services")?;
        let found = all.iter().find(|service| service.get("hostname").is_some_and(|own| own == hostname));
        found.cloned().with_context(|| format!("no service {hostname}"))
    }

    fn dump(&self) -> Result<Value> {
        let ask = || http::request("GET", SocketAddr::from(([127, 0, 0, 1], ADMIN)), "/config_dump");
        let (_, dump) = self.node.netns().run(ask)??;
        Ok(serde_json::from_str(&dump)?)
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// Fails when it is not.
    pub fn wait_ready(&self) -> Result<()> {
        let name = self.pod.name();
        let waited = kubectl(&["--namespace", SYSTEM, "wait", "pod", name, "--for=condition=Ready", "--timeout=90s"]);
        waited.with_context(|| self.pod.log().unwrap_or_default()).map(drop)
    }
}
