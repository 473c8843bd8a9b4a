//! What the demo shows, scene by scene. Each gives what was seen, or why it was not.

use std::fs;
use std::time::Instant;

use ambit_tests::{Connection, Outcome, Pod, Traffic, until};
use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::stage::{MARKER, PATIENCE, PORT, SERVICE, Stage, example};
use crate::command::started;

pub(super) struct Scenes<'a> {
    stage: &'a mut Stage,
    /// What passed on the link in the first scene.
    traffic: Option<Traffic>,
}

impl<'a> Scenes<'a> {
    pub(super) fn new(stage: &'a mut Stage) -> Self {
        Self { stage, traffic: None }
    }

    pub(super) fn curl(&mut self) -> Result<String> {
        let capture = self.stage.world.capture()?;
        let page = self.fetch(&self.stage.client, SERVICE)?;
        self.traffic = Some(capture.stop()?);
        Ok(format!("client$ curl http://{SERVICE}/\n{page}"))
    }

    pub(super) fn link(&mut self) -> Result<String> {
        let traffic = self.traffic.take().context("nothing was recorded")?;
        let tunnels = traffic.only_tunnels()?;
        ensure!(!traffic.contains(MARKER.as_bytes()), "the page was read on the link");
        let bytes: usize = traffic.packets().iter().map(|packet| packet.bytes().len()).sum();
        Ok(format!(
            "{} packets, {bytes} bytes: {tunnels} TLS 1.3 connection(s) to port 15008, no other TCP or UDP;\n\
             \"{MARKER}\" is in none of them",
            traffic.packets().len()
        ))
    }

    pub(super) fn source_address(&mut self) -> Result<String> {
        let log = fs::read_to_string(self.stage.world.directory().join("web-access.log"))?;
        let last = log.lines().last().context("nginx logged nothing")?;
        let own = self.stage.client.ip4().to_string();
        ensure!(last.split(' ').next() == Some(own.as_str()), "nginx saw {last}");
        Ok(format!("nginx logged: {last}\nthe client pod has: {own}"))
    }

    pub(super) fn identities(&mut self) -> Result<String> {
        let mut seen = Vec::new();
        for (agent, node) in self.stage.agents.iter().zip(["node-1", "node-2"]) {
            let line = agent.wait_access(|line| line.field("dst.workload") == "web")?;
            let [source, destination] = ["src.identity", "dst.identity"].map(|key| line.field(key).to_owned());
            ensure!(source == self.stage.client.identity(), "{node} logged the source {source:?}");
            ensure!(destination == self.stage.web.identity(), "{node} logged the destination {destination:?}");
            seen.push(format!("{node} {}: {source} -> {destination}", line.field("direction")));
        }
        Ok(seen.join("\n"))
    }

    pub(super) fn policy(&mut self) -> Result<String> {
        let policy = fs::read_to_string(example("two-nodes-policies").join("only-client.yaml"))?;
        let mut open = self.open_connection()?;
        let written = Instant::now();
        self.stage.config.write("policy.yaml", &policy)?;
        let end = open.read_to_end();
        let after = written.elapsed();
        ensure!(matches!(end, Outcome::Closed | Outcome::Reset), "the open connection of other: {end:?}");
        let error = self.refused(&self.stage.other)?;
        self.fetch(&self.stage.client, SERVICE).context("client, which is still allowed")?;
        let line = self.stage.agents[1].wait_access(|line| {
            line.field("src.workload") == "other" && line.error().is_some_and(|error| error.contains("changed"))
        })?;
        Ok(format!(
            "only-client.yaml, put into the folder, lets none but client talk to web\n\
             the open connection of other was cut {:.1} ms after the file was written\n\
             node-2 logged: {}\nother$ curl http://{SERVICE}/\n{error}\nclient is still served",
            after.as_secs_f64() * 1e3,
            line.error().unwrap_or_default(),
        ))
    }

    pub(super) fn kill(&mut self) -> Result<String> {
        let capture = self.stage.world.capture()?;
        let agent = &mut self.stage.agents[0];
        let pid = agent.id();
        agent.process().kill()?;
        let by_service = self.refused(&self.stage.client)?;
        let by_pod = self.failure(&self.stage.client, &self.stage.web.at(PORT).to_string())?;
        let traffic = capture.stop()?;
        ensure!(by_service.contains("(7)") && by_pod.contains("(7)"), "not a refusal: {by_service}; {by_pod}");
        let plain = traffic.streams_of(self.stage.web.ip4().into(), PORT);
        ensure!(plain.is_empty() && !traffic.contains(MARKER.as_bytes()), "it talked plainly");
        Ok(format!("kill -9 {pid} on node-1\nclient$ curl http://{SERVICE}/\n{by_service}\nnothing of it on the link"))
    }

    pub(super) fn restart(&mut self) -> Result<String> {
        let mut agent = self.stage.agents[0].start_again()?;
        agent.wait_ready()?;
        let seen = format!("agent {} is ready; client is served", agent.id());
        self.stage.agents[0] = agent;
        self.stage.note()?;
        self.fetch(&self.stage.client, SERVICE)?;
        Ok(seen)
    }

    pub(super) fn unlabel(&mut self) -> Result<String> {
        let pid = self.stage.nginx.id();
        let before = started(pid).context("nginx has ended")?;
        let namespaces = fs::read_to_string(self.stage.config.path().join("namespaces.yaml"))?;
        let unlabelled: Vec<&str> = namespaces.lines().filter(|line| !line.contains("dataplane-mode")).collect();
        self.stage.config.write("namespaces.yaml", &(unlabelled.join("\n") + "\n"))?;

        let pod = self.stage.web.at(PORT).to_string();
        let traffic = until("plain traffic", PATIENCE, || {
            let capture = self.stage.world.capture().ok()?;
            self.fetch(&self.stage.other, &pod).ok()?;
            capture.stop().ok().filter(|traffic| traffic.contains(MARKER.as_bytes()))
        })?;
        ensure!(!traffic.streams_of(self.stage.web.ip4().into(), PORT).is_empty(), "not on the server's own port");
        ensure!(self.stage.nginx.ended().is_none() && started(pid).as_ref() == Some(&before), "nginx was restarted");
        Ok(format!(
            "the label istio.io/dataplane-mode is gone from namespaces.yaml\n\
             other$ curl http://{pod}/\n{MARKER}\n\
             now \"{MARKER}\" is on the link, to port {PORT}; nginx is still process {pid}"
        ))
    }

    /// A connection of `other` that has had an answer and stays open.
    fn open_connection(&self) -> Result<Connection> {
        let opened = Connection::open(&self.stage.other.netns(), SERVICE.parse()?)?;
        let mut open = opened.map_err(|outcome| anyhow!("other cannot connect: {outcome:?}"))?;
        let answer = open.ask("GET / HTTP/1.1\r\nHost: web\r\nConnection: keep-alive\r\n\r").answer()?;
        ensure!(answer.contains("200"), "other got {answer}");
        Ok(open)
    }

    fn fetch(&self, from: &Pod, host: &str) -> Result<String> {
        let page = self.stage.fetch(from, host)?;
        ensure!(page.trim_end() == MARKER, "got another page: {page:?}");
        Ok(page)
    }

    /// What curl says when it is turned down at the Service.
    fn refused(&self, from: &Pod) -> Result<String> {
        self.failure(from, SERVICE)
    }

    /// What curl says when it gets nothing.
    fn failure(&self, from: &Pod, host: &str) -> Result<String> {
        match self.stage.fetch(from, host) {
            Ok(page) => bail!("{} was served: {page}", from.name()),
            Err(error) => {
                let text = error.to_string();
                let said = text.rsplit_once("curl: ").context(text.clone())?.1;
                Ok(format!("curl: {said}"))
            }
        }
    }
}
