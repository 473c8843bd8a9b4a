//! The second act: two versions of a server behind a waypoint. Everything told is counted from requests that curl made.

use std::fs;

use ambit_tests::{Pod, PodSpec, Process, run, until};
use anyhow::{Context as _, Result, ensure};

use super::stage::{PATIENCE, PORT, Stage, copy, example, start_nginx};
use crate::workspace;

const EXAMPLE: &str = "two-nodes-waypoint";
/// The Service `api` of the manifests.
const SERVICE: &str = "10.110.0.20";

pub(super) struct Act<'a> {
    stage: &'a mut Stage,
}

impl<'a> Act<'a> {
    pub(super) fn new(stage: &'a mut Stage) -> Self {
        Self { stage }
    }

    pub(super) fn set(&mut self) -> Result<String> {
        let world = &mut self.stage.world;
        let mut pod = |name: &str, node, index| world.pod(PodSpec::new("shop", name, node).index(index));
        let versions = [pod("api-v1", 1, 5)?, pod("api-v2", 2, 5)?];
        let waypoint = pod("waypoint", 2, 6)?;
        copy(&example(EXAMPLE), self.stage.config.path())?;
        for version in &versions {
            let server = start_nginx(&self.stage.world, version, &answers(version.name()))?;
            self.stage.more.push(server);
        }
        let program = self.start_waypoint(&waypoint)?;
        let told = format!("waypoint {} serves {SERVICE}; manifests: a copy of examples/{EXAMPLE}", program.id());
        self.stage.more.push(program);
        self.stage.note()?;
        until("an answer through the waypoint", PATIENCE, || {
            self.curl("/", &["--fail", "--max-time", "5"]).ok().filter(|page| page.starts_with('v')).map(drop)
        })?;
        Ok(told)
    }

    pub(super) fn canary(&mut self) -> Result<String> {
        let (testers, others) = (100, 1000);
        let to_testers = self.curl(&format!("/?[1-{testers}]"), &["--header", "x-tester: yes"])?;
        ensure!(count(&to_testers, "v2") == testers, "not all testers came to v2:\n{to_testers}");
        let to_others = self.curl(&format!("/?[1-{others}]"), &[])?;
        let [first, second] = ["v1", "v2"].map(|version| count(&to_others, version));
        // Six standard deviations.
        ensure!(first + second == others && (43..=157).contains(&second), "v1 {first}, v2 {second}, of {others}");
        Ok(format!(
            "{testers} requests with `x-tester: yes`: v2 {testers}\n\
             {others} requests without, weights 90 and 10: v1 {first}, v2 {second}"
        ))
    }

    pub(super) fn retries(&mut self) -> Result<String> {
        let requests = 200;
        let statuses = self.statuses(&format!("/flaky?[1-{requests}]"), &[])?;
        let answered = count(&statuses, "200");
        let log = fs::read_to_string(self.stage.world.directory().join("api-v1-access.log"))?;
        let failed = log.lines().filter(|line| line.contains("/flaky") && line.ends_with("503")).count();
        ensure!(answered == requests && failed > 0, "{answered} of {requests} answered, {failed} times 503");
        Ok(format!("{requests} requests: the server answered 503 {failed} times, the client saw 200 {answered} times"))
    }

    pub(super) fn delay(&mut self) -> Result<String> {
        let timed = |path| self.curl(path, &["--output", "/dev/null", "--write-out", "%{time_total}"]);
        let (straight, delayed): (f64, f64) = (timed("/")?.trim().parse()?, timed("/delayed")?.trim().parse()?);
        ensure!(delayed >= 0.3, "it took {delayed} s");
        Ok(format!("a request of {:.1} ms takes {:.1} ms with a delay of 300 ms", straight * 1e3, delayed * 1e3))
    }

    pub(super) fn circuit_breaker(&mut self) -> Result<String> {
        let at_once = ["--parallel", "--parallel-immediate", "--parallel-max", "20"];
        let under_load = self.statuses("/slow?[1-20]", &at_once)?;
        let [served, refused] = ["200", "503"].map(|status| count(&under_load, status));
        ensure!(served > 0 && refused > 0 && served + refused == 20, "under load:\n{under_load}");
        let flagged = || {
            let log = self.stage.more.last().map(Process::output).unwrap_or_default();
            let flags = log.lines().filter(|line| line.contains("/slow") && line.contains("UO")).count();
            (flags == refused).then_some(flags)
        };
        let flagged = until("the refusals in the waypoint's log", PATIENCE, flagged)?;
        let after = self.statuses("/slow?[1-3]", &[])?;
        ensure!(count(&after, "200") == 3, "after it:\n{after}");
        Ok(format!(
            "20 slow requests at once, two allowed: {served} served, {refused} told 503 at once\n\
             the waypoint's log has the flag UO (upstream overflow) {flagged} times\n\
             3 one after the other, after it: 3 served"
        ))
    }

    pub(super) fn tokens(&mut self) -> Result<String> {
        let token = |file: &str| fs::read_to_string(example(EXAMPLE).join(file)).context("read the token");
        let with =
            |token: &str| self.statuses("/account", &["--header", &format!("authorization: Bearer {}", token.trim())]);
        let none = self.statuses("/account", &[])?;
        let forged = with(&token("forged.jwt")?)?;
        let own = with(&token("alice.jwt")?)?;
        let seen = [&none, &forged, &own].map(|status| status.trim());
        ensure!(seen == ["403", "401", "200"], "no token, forged, alice's own: {seen:?}");
        Ok("/account without a token: 403; with a forged one: 401; with alice's own: 200".to_owned())
    }

    fn start_waypoint(&self, pod: &Pod) -> Result<Process> {
        let mut command = pod.netns().command(workspace::target_dir()?.join("release/waypoint"));
        let directory = self.stage.world.directory();
        command.arg("--config").arg(self.stage.config.path()).arg("--state").arg(directory.join("state"));
        command.args(["--name", "shop/waypoint"]);
        Process::start(command, directory, "waypoint")
    }

    /// One status a line.
    fn statuses(&self, path: &str, more: &[&str]) -> Result<String> {
        self.curl(path, &[&["--output", "/dev/null", "--write-out", "%{http_code}\n"], more].concat())
    }

    /// What curl, run in the client pod, prints.
    fn curl(&self, path: &str, more: &[&str]) -> Result<String> {
        let url = format!("http://{SERVICE}{path}");
        run(self.stage.client.netns().command("curl").args(["--silent", "--show-error"]).args(more).arg(url))
    }
}

/// What a version answers: itself; every other time an error; with a brake.
fn answers(name: &str) -> String {
    let version = name.trim_start_matches("api-");
    let page = "x".repeat(1500);
    format!(
        "listen {PORT};\n\
         location /flaky {{ if ($request_id ~ '^[0-7]') {{ return 503; }} return 200 '{version}\\n'; }}\n\
         location /slow {{ limit_rate 1k; return 200 '{page}'; }}\n\
         location / {{ return 200 '{version}\\n'; }}\n"
    )
}

fn count(lines: &str, wanted: &str) -> usize {
    lines.lines().filter(|line| *line == wanted).count()
}
