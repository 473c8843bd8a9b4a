//! What is told about the steps, as text while they happen or as JSON at the end.

use std::io::{self, Write as _};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// What a step gives besides what was seen.
pub(crate) trait Seen {
    /// What goes on to the next steps.
    type Rest;
    /// Splits the text from the rest.
    fn split(self) -> (String, Self::Rest);
}

impl Seen for String {
    type Rest = ();
    fn split(self) -> (String, ()) {
        (self, ())
    }
}

impl<T> Seen for (String, T) {
    type Rest = T;
    fn split(self) -> (String, T) {
        self
    }
}

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Show {
    json: bool,
    steps: Vec<Value>,
}

impl Show {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, steps: Vec::new() }
    }

    /// Plays one step and tells what was seen; a failure ends the show.
    pub(crate) fn step<S: Seen>(&mut self, title: &str, play: impl FnOnce() -> Result<S>) -> Result<S::Rest> {
        let number = self.steps.len() + 1;
        self.say(&format!("\n{number}. {title}"))?;
        let (told, outcome) = match play().map(Seen::split) {
            Ok((seen, rest)) => (seen, Ok(rest)),
            Err(error) => (format!("NOT SEEN: {error:#}"), Err(error)),
        };
        for line in told.lines() {
            self.say(&format!("   {line}"))?;
        }
        let step =
            json!({"step": number, "title": title, "ok": outcome.is_ok(), "seen": told.lines().collect::<Vec<_>>()});
        self.steps.push(step);
        outcome
    }

    /// Tells the end.
    pub(crate) fn finish(&self) -> Result<()> {
        ensure!(!self.steps.is_empty(), "no step was played");
        let ok = self.steps.iter().all(|step| step["ok"] == true);
        if self.json {
            let all = json!({"ok": ok, "steps": self.steps});
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&all)?)?;
        } else if ok {
            self.say(&format!("\nAll {} steps were seen.", self.steps.len()))?;
        }
        Ok(())
    }

    fn say(&self, line: &str) -> Result<()> {
        if !self.json {
            writeln!(io::stdout(), "{line}")?;
        }
        Ok(())
    }
}
