//! Requests on so many connections: each sends its next when it has its answer, or as a clock says.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::spawn_local;
use tokio::time::{sleep, sleep_until};

use crate::mesh::{self, Way};
use crate::sender::{Sender, Speak};

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(400);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    way: Way,
    #[arg(long)]
    speak: Speak,
    #[arg(long)]
    connections: u32,
    /// Requests go to `/r0/x` and so on, all alike.
    #[arg(long)]
    routes: u32,
    #[arg(long)]
    seconds: f64,
    /// Requests a second, all connections together; else as many as there are answers.
    #[arg(long)]
    rate: Option<f64>,
}

/// What was counted.
#[derive(Default)]
struct Counted {
    counts: Cell<bool>,
    failures: Cell<u64>,
    /// Microseconds.
    latencies: RefCell<Vec<u32>>,
}

/// Prints a line when it begins to count, and one with what was counted.
pub(crate) async fn load(options: Options) -> Result<()> {
    let counted = Rc::<Counted>::default();
    let interval = options.rate.map(|rate| Duration::from_secs_f64(f64::from(options.connections) / rate));
    let streams = mesh::open(&options.way, usize::try_from(options.connections)?).await?;
    for (number, stream) in (0u32..).zip(streams) {
        let sender = Sender::new(stream, options.speak).await?;
        let counted = Rc::clone(&counted);
        let paths = Paths { next: number.wrapping_mul(2_654_435_761), routes: options.routes };
        // Even, from the first to the last.
        let first = interval.map(|interval| Instant::now() + interval * number / options.connections);
        spawn_local(async move {
            if let Err(error) = requests(sender, paths, first.zip(interval), &counted).await {
                eprintln!("a connection broke: {error:#}");
                counted.failures.update(|failures| failures + 1);
            }
        });
    }
    sleep(WARM_UP).await;
    let began = Instant::now();
    counted.counts.set(true);
    say("counting")?;
    sleep(Duration::from_secs_f64(options.seconds)).await;
    let took = began.elapsed();
    let mut latencies = counted.latencies.take();
    say(&json!({"requests": latencies.len(), "seconds": took.as_secs_f64()}).to_string())?;
    latencies.sort_unstable();
    let at = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place"
        )]
        latencies.get((latencies.len() as f64 * part) as usize).copied().context("no request was answered")
    };
    say(&json!({"p50": at(0.5)?, "p99": at(0.99)?, "failures": counted.failures.get()}).to_string())
}

/// Sends requests for ever.
async fn requests(
    mut sender: Sender,
    mut paths: Paths,
    clock: Option<(Instant, Duration)>,
    counted: &Counted,
) -> Result<()> {
    let mut next = clock.map(|(first, _)| first);
    loop {
        let mut began = Instant::now();
        if let (Some(next), Some((_, interval))) = (&mut next, clock) {
            if *next > began {
                sleep_until((*next).into()).await;
                // The timer's own lateness is not the waypoint's.
                began = Instant::now();
            } else {
                // It should have been sent already: the waypoint is late.
                began = *next;
            }
            *next += interval;
        }
        sender.ask(&paths.next()).await?;
        if counted.counts.get() {
            let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
            counted.latencies.borrow_mut().push(took);
        }
    }
}

/// All paths alike, in no order.
struct Paths {
    next: u32,
    routes: u32,
}

impl Paths {
    fn next(&mut self) -> String {
        // Numerical Recipes' generator; its high bits are good enough.
        self.next = self.next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("/r{}/x", (self.next >> 8) % self.routes)
    }
}

/// Writes a line that is read at once.
pub(crate) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
