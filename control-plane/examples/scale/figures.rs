//! Latencies, and what is told of them.

use std::time::Duration;

use serde_json::{Value, json};

/// How long a change took to the last stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// From the API server's answer to the write.
    pub(crate) from_answer: Duration,
    /// From before the write was sent.
    pub(crate) from_request: Duration,
}

/// Of many changes.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    all: Vec<Latency>,
    unseen: usize,
}

impl Latencies {
    /// Adds a change; nothing is one that was not seen in time.
    pub(crate) fn add(&mut self, latency: Option<Latency>) {
        match latency {
            Some(latency) => self.all.push(latency),
            None => self.unseen += 1,
        }
    }

    pub(crate) fn changes(&self) -> usize {
        self.all.len() + self.unseen
    }

    pub(crate) fn json(&self) -> Value {
        let sorted = |part: fn(&Latency) -> Duration| {
            let mut sorted: Vec<_> = self.all.iter().map(part).collect();
            sorted.sort();
            sorted
        };
        let (answer, request) = (sorted(|it| it.from_answer), sorted(|it| it.from_request));
        json!({
            "changes": self.changes(),
            "unseen": self.unseen,
            "p50": milliseconds(&answer, 50),
            "p99": milliseconds(&answer, 99),
            "from_request_p50": milliseconds(&request, 50),
            "from_request_p99": milliseconds(&request, 99),
        })
    }
}

/// The smallest that so many percent do not exceed.
fn milliseconds(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).map(|latency| latency.as_secs_f64() * 1000.0)
}
