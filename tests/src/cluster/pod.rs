//! A pod.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::agent::METRICS;
use super::{Agent, Node, PATIENCE, kubectl, object};
use crate::agent::http;
use crate::{Metrics, until};

/// What a captured pod is told by.
const REDIRECTION: &str = "/metadata/annotations/ambient.istio.io~1redirection";

/// A pod, by its name.
#[derive(Debug, Clone)]
pub struct Pod {
    namespace: String,
    name: String,
}

impl Pod {
    /// One of that name, there or not.
    #[must_use]
    pub fn named(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn object(&self) -> Result<Value> {
        object(&["--namespace", &self.namespace, "pod", &self.name])
    }

    /// A text of the object, by JSON pointer; empty where there is none.
    ///
    /// # Errors
    /// Fails when there is no such pod.
    pub fn text(&self, pointer: &str) -> Result<String> {
        let object = self.object()?;
        Ok(object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Its addresses, the first as the cluster prefers it.
    ///
    /// # Errors
    /// Fails when it has none.
    pub fn addresses(&self) -> Result<Vec<IpAddr>> {
        let object = self.object()?;
        let list = object.pointer("/status/podIPs").and_then(Value::as_array).context("a pod without addresses")?;
        list.iter().map(|ip| Ok(ip.pointer("/ip").and_then(Value::as_str).unwrap_or_default().parse()?)).collect()
    }

    /// Its first address.
    ///
    /// # Errors
    /// Fails when it has none.
    pub fn ip(&self) -> Result<IpAddr> {
        self.addresses()?.first().copied().context("a pod without an address")
    }

    /// The node it runs on.
    ///
    /// # Errors
    /// Fails when it is on none.
    pub fn node(&self) -> Result<Node> {
        Node::named(&self.text("/spec/nodeName")?)
    }

    /// The agent of its node.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn agent(&self) -> Result<Agent> {
        Agent::on(self.node()?)
    }

    /// What tells this pod, and this life of its containers, from any other.
    ///
    /// # Errors
    /// Fails when there is no such pod.
    pub fn incarnation(&self) -> Result<String> {
        let object = self.object()?;
        let restarts = object.pointer("/status/containerStatuses/0/restartCount").cloned().unwrap_or_default();
        let uid = object.pointer("/metadata/uid").cloned().unwrap_or_default();
        Ok(format!("{uid} restarted {restarts} times"))
    }

    /// Whether it is told to be captured.
    ///
    /// # Errors
    /// Fails when there is no such pod.
    pub fn is_enrolled(&self) -> Result<bool> {
        Ok(self.object()?.pointer(REDIRECTION).and_then(Value::as_str) == Some("enabled"))
    }

    /// Waits until it is captured, or is not.
    ///
    /// # Errors
    /// Fails when that does not come.
    pub fn wait_enrolled(&self, wanted: bool) -> Result<()> {
        let what = format!("pod {}/{}: enrolled = {wanted}", self.namespace, self.name);
        until(&what, PATIENCE, || (self.is_enrolled().ok()? == wanted).then_some(())).with_context(|| {
            kubectl(&["--namespace", &self.namespace, "describe", "pod", &self.name]).unwrap_or_default()
        })
    }

    /// Runs a command in it and gives its output.
    ///
    /// # Errors
    /// Fails when the command does.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        kubectl(&[&["exec", "--namespace", &self.namespace, &self.name, "--"], command].concat())
    }

    /// Asks an HTTP server once, over a connection of its own; gives the answer's body.
    ///
    /// # Errors
    /// Fails when there is no answer, or one that is not 200.
    pub fn ask(&self, url: &str) -> Result<String> {
        self.exec(&["fortio", "curl", "-quiet", "-timeout", "5s", url])
    }

    /// What a page for its operator says that it shows to its own machine alone, on port 15000.
    ///
    /// # Errors
    /// Fails when it says nothing.
    pub fn admin(&self, path: &str) -> Result<String> {
        let of = format!("pod/{}", self.name);
        let mut forward = Command::new("kubectl");
        forward.args(["port-forward", "--namespace", &self.namespace, &of, ":15000"]);
        let mut forward = forward.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("start kubectl")?;
        let asked = (|| {
            let mut line = String::new();
            BufReader::new(forward.stdout.as_mut().context("kubectl has no output")?).read_line(&mut line)?;
            // "Forwarding from 127.0.0.1:40000 -> 15000"
            let address = line.split(' ').nth(2).with_context(|| format!("no forwarding: {line:?}"))?;
            Ok(http::request("GET", address.parse()?, path)?.1)
        })();
        forward.kill()?;
        forward.wait()?;
        asked
    }

    /// The figures of a waypoint's pod.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::read(SocketAddr::new(self.ip()?, METRICS))
    }

    /// Waits until a server answers.
    ///
    /// # Errors
    /// Fails when it does not.
    pub fn wait_answered(&self, url: &str) -> Result<String> {
        let mut last = None;
        let answer = until(&format!("an answer of {url} to {}", self.name), PATIENCE, || match self.ask(url) {
            Ok(answer) => Some(answer),
            Err(error) => {
                last = Some(error);
                None
            }
        });
        answer.with_context(|| format!("{last:?}"))
    }

    /// Waits until a server does not answer any more.
    ///
    /// # Errors
    /// Fails when it goes on answering.
    pub fn wait_refused(&self, url: &str) -> Result<()> {
        until(&format!("{url} refuses {}", self.name), PATIENCE, || self.ask(url).is_err().then_some(()))
    }

    /// Deletes it and waits for its end.
    ///
    /// # Errors
    /// Fails when it does not go.
    pub fn delete(&self) -> Result<()> {
        kubectl(&["--namespace", &self.namespace, "delete", "pod", &self.name, "--timeout=90s"]).map(drop)
    }

    /// Deletes the object; what it runs ends when its node hears of it.
    ///
    /// # Errors
    /// Fails when kubectl does.
    pub fn delete_by_force(&self) -> Result<()> {
        let force = ["--grace-period=0", "--force"];
        kubectl(&[&["--namespace", &self.namespace, "delete", "pod", &self.name], &force[..]].concat()).map(drop)
    }

    /// Waits until its containers have ended well.
    ///
    /// # Errors
    /// Fails when they did not, in time.
    pub fn wait_succeeded(&self) -> Result<()> {
        let phase = until(&format!("the end of {}", self.name), PATIENCE, || {
            self.text("/status/phase").ok().filter(|phase| phase == "Succeeded" || phase == "Failed")
        })?;
        ensure!(phase == "Succeeded", "{} has {phase}: {}", self.name, self.log()?);
        Ok(())
    }

    /// What its container wrote.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn log(&self) -> Result<String> {
        kubectl(&["--namespace", &self.namespace, "logs", &self.name, "--all-containers"])
    }
}
