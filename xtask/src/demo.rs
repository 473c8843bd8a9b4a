//! `cargo xtask demo`: a mesh of two nodes on this machine, observed live. Nodes and pods are network
//! namespaces; the agents, the kernel programs, client, server and wire are the real thing.

mod build;
mod leftovers;
mod scenes;
mod show;
mod stage;
mod waypoint;

use std::io::Write as _;

use anyhow::Result;

use scenes::Scenes;
use show::Show;
use stage::Stage;
use waypoint::Act;

/// How the demo is to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Leave everything running at the end, and say how to try things
    #[arg(long)]
    keep: bool,

    /// Take away what `--keep` has left, and do nothing else
    #[arg(long, conflicts_with_all = ["keep", "json"])]
    down: bool,

    /// Print the steps as JSON at the end, instead of as text while they happen
    #[arg(long)]
    json: bool,
}

/// Runs the demo; succeeds only if every step was seen.
pub(crate) fn run(options: &Demo) -> Result<()> {
    leftovers::remove()?;
    if options.down {
        return Ok(());
    }
    build::all()?;
    let mut show = Show::new(options.json);
    let played = play(&mut show, options.keep);
    show.finish()?;
    if let Some(how_to_try) = played? {
        writeln!(std::io::stderr(), "{how_to_try}")?;
    }
    Ok(())
}

/// Plays all scenes; what was set up is taken away on every way out, but for `keep` at the end.
fn play(show: &mut Show, keep: bool) -> Result<Option<String>> {
    let mut stage = show.step("Two nodes, five pods, one agent a node", Stage::set)?;
    let mut scenes = Scenes::new(&mut stage);
    show.step("curl, unmodified, reaches nginx, unmodified, over a Service address", || scenes.curl())?;
    show.step("Between the nodes passes nothing but TLS 1.3 to port 15008", || scenes.link())?;
    show.step("The server sees the client's own address", || scenes.source_address())?;
    show.step("The agents' access logs name both identities", || scenes.identities())?;
    show.step("A policy file cuts the open connection and the next one", || scenes.policy())?;
    show.step("A killed agent means refusal, never plaintext", || scenes.kill())?;
    show.step("Started again, the agent serves again", || scenes.restart())?;
    let mut act = Act::new(&mut stage);
    show.step("A waypoint comes before the Service api", || act.set())?;
    show.step("A canary gets all testers and a tenth of the others", || act.canary())?;
    show.step("Retries hide a flaky server", || act.retries())?;
    show.step("A delay is put in on purpose", || act.delay())?;
    show.step("A circuit breaker opens under load and closes again", || act.circuit_breaker())?;
    show.step("A forged token is refused", || act.tokens())?;
    let mut scenes = Scenes::new(&mut stage);
    show.step("Without its label the pod talks plainly, its process never restarted", || scenes.unlabel())?;
    if !keep {
        show.step("Nothing is left", || stage.strike())?;
        return Ok(None);
    }
    stage.restore()?;
    stage.keep().map(Some)
}
