//! From the write of a policy file to the moment nobody it denies gets through.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use ambit_tests::{Behaviour, Connection, Netns, Outcome, Server, ask, manifest, until};
use anyhow::{Context as _, Result, anyhow, ensure};

use super::measure;
use super::samples::Samples;
use super::stage::{Contender, ECHO, Kind, Stage};

/// How long a policy may take to hold, or to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

const FILE: &str = "policy-bench.yaml";

/// Denies and allows again, `times` times.
pub(super) fn measure(stage: &Stage, times: u32, samples: &mut Samples) -> Result<()> {
    let contender = stage.mesh_contender().context("no mesh on the stage")?;
    let _server = Server::start(&contender.server.netns(), ECHO, Behaviour::Echo)?;
    let policy = deny(contender);
    let (client, to) = (contender.client.netns(), contender.at(ECHO));
    for _ in 0..times {
        let mut open = Connection::established(&client, to)?;
        let written = Instant::now();
        stage.mesh.config.write(FILE, &policy)?;
        let (cut, refused) = thread::scope(|scope| {
            let refused = scope.spawn(|| until_refused(&client, to, written));
            (until_cut(&mut open, written), refused.join())
        });
        let refused = refused.map_err(|_| anyhow!("the thread that tries new connections has panicked"))?;
        samples.add(&measure::ENFORCEMENT_OPEN, Kind::Mesh, milliseconds(cut?));
        samples.add(&measure::ENFORCEMENT_NEW, Kind::Mesh, milliseconds(refused?));
        stage.mesh.config.remove(FILE)?;
        until("an answer without the policy", PATIENCE, || {
            matches!(ask(&client, to, "a"), Ok(Outcome::Answered(_))).then_some(())
        })?;
    }
    Ok(())
}

fn deny(contender: &Contender) -> String {
    let identity = contender.client.identity();
    let principal = identity.trim_start_matches("spiffe://");
    manifest::policy(contender.server.namespace(), "bench", contender.server.name(), "DENY", &[principal])
}

fn until_cut(open: &mut Connection, written: Instant) -> Result<Duration> {
    let end = open.read();
    ensure!(end.is_turned_down(), "the open connection was not cut: {end:?}");
    Ok(written.elapsed())
}

fn until_refused(client: &Netns, to: SocketAddr, written: Instant) -> Result<Duration> {
    until("a refused connection", PATIENCE, || ask(client, to, "a").ok()?.is_turned_down().then(|| written.elapsed()))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
