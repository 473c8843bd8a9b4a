//! Requests at a steady pace, and what became of them.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;

use super::{PATIENCE, Pod};
use crate::until;

/// A load generator in a pod.
#[derive(Debug)]
pub struct Load {
    pod: Pod,
    /// Where its process id stands.
    id_file: String,
    running: JoinHandle<std::io::Result<Output>>,
}

/// What became of the requests.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// How many ended how: HTTP status, gRPC status, `OK`, or -1 for none at all.
    #[serde(rename = "RetCodes")]
    pub results: BTreeMap<String, u64>,
    /// Connections that were made.
    #[serde(rename = "SocketCount", default)]
    pub connections: i64,
    /// How long they took.
    #[serde(rename = "DurationHistogram")]
    pub durations: Durations,
}

/// How long requests took, in seconds.
#[derive(Debug, Clone, Deserialize)]
pub struct Durations {
    /// The longest.
    #[serde(rename = "Max")]
    pub longest: f64,
}

impl Report {
    /// Requests that were answered well.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.results.iter().filter(|(result, _)| is_good(result)).map(|(_, count)| count).sum()
    }

    /// Requests that were not.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.results.iter().filter(|(result, _)| !is_good(result)).map(|(_, count)| count).sum()
    }

    /// Checks that there were requests and that none failed.
    ///
    /// # Errors
    /// Fails, with the report, otherwise.
    pub fn all_answered(&self) -> Result<()> {
        ensure!(self.answered() > 0 && self.failed() == 0, "{self:?}");
        Ok(())
    }
}

fn is_good(result: &str) -> bool {
    matches!(result, "200" | "OK" | "SERVING")
}

impl Load {
    /// Requests to an HTTP server, each over a connection of its own.
    ///
    /// # Errors
    /// Fails when it does not get going.
    pub fn of_connections(pod: &Pod, url: &str) -> Result<Self> {
        Self::start(pod, &["-keepalive=false", "-c", "4", "-qps", "60", url])
    }

    /// Requests to an HTTP server over a few connections, made again only when one breaks.
    ///
    /// # Errors
    /// Fails when it does not get going.
    pub fn of_requests(pod: &Pod, url: &str) -> Result<Self> {
        Self::start(pod, &["-c", "4", "-qps", "60", url])
    }

    /// `fortio load` with these arguments, until it is stopped.
    ///
    /// # Errors
    /// Fails when it does not get going.
    pub fn start(pod: &Pod, arguments: &[&str]) -> Result<Self> {
        let id_file = format!("/tmp/load-{}", arguments.concat().replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        pod.exec(&["rm", "-f", &id_file])?;
        let mut command = Command::new("kubectl");
        let script = format!("echo $$ > {id_file}; exec fortio load -t 0 -nocatchup -log-errors=false -json - \"$@\"");
        command.args(["exec", "--namespace", pod.namespace(), pod.name(), "--", "sh", "-c", &script, "load"]);
        command.args(arguments);
        let running = thread::spawn(move || command.output());
        let load = Self { pod: pod.clone(), id_file, running };
        until("a load that runs", PATIENCE, || load.pod.exec(&["test", "-s", &load.id_file]).is_ok().then_some(()))?;
        Ok(load)
    }

    /// Ends it and counts.
    ///
    /// # Errors
    /// Fails when it had ended before, or says nothing.
    pub fn stop(self) -> Result<Report> {
        self.pod.exec(&["sh", "-c", &format!("kill -INT $(cat {})", self.id_file)]).ok();
        let output = self.running.join().map_err(|_| anyhow!("the load's thread has panicked"))??;
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text)
            .with_context(|| format!("no report of the load: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}
