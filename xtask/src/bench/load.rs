//! The loads, by the generators everybody uses: iperf3 and wrk.

mod iperf3;
mod wrk;

use std::process::Command;

use ambit_tests::Netns;
use anyhow::Result;

use super::measure::{self, Measure};
use super::samples::Samples;
use super::stage::{BULK, Contender, HTTP};
use super::{Extent, footprint};

/// What a generator may take longer than it was told to run, in seconds; then it is killed.
const GRACE: u32 = 15;

/// One kind of load.
#[derive(Debug)]
pub(super) enum Load {
    /// Bytes from client to server, over connections of their own.
    Bulk { streams: u32, throughput: &'static Measure, cpu: Option<&'static Measure> },
    /// Requests as fast as the answers come.
    Requests(Requests),
}

/// A closed loop of requests.
#[derive(Debug)]
pub(super) struct Requests {
    connections: u32,
    /// Otherwise each request has a connection of its own.
    keep_alive: bool,
    rate: &'static Measure,
    p50: Option<&'static Measure>,
    p99: Option<&'static Measure>,
}

/// All loads, in the order of a round.
pub(super) static ALL: [Load; 6] = [
    Load::Bulk { streams: 1, throughput: &measure::THROUGHPUT_1, cpu: Some(&measure::CPU_PER_GB) },
    Load::Bulk { streams: 4, throughput: &measure::THROUGHPUT_4, cpu: None },
    Load::Bulk { streams: 16, throughput: &measure::THROUGHPUT_16, cpu: None },
    Load::Requests(Requests {
        connections: 1,
        keep_alive: true,
        rate: &measure::KEEPALIVE_1_RPS,
        p50: Some(&measure::KEEPALIVE_1_P50),
        p99: Some(&measure::KEEPALIVE_1_P99),
    }),
    Load::Requests(Requests {
        connections: 64,
        keep_alive: true,
        rate: &measure::KEEPALIVE_64_RPS,
        p50: Some(&measure::KEEPALIVE_64_P50),
        p99: Some(&measure::KEEPALIVE_64_P99),
    }),
    Load::Requests(Requests {
        connections: 16,
        keep_alive: false,
        rate: &measure::NEW_CONNECTIONS,
        p50: None,
        p99: None,
    }),
];

impl Load {
    /// Puts this load on a contender and keeps what was measured.
    pub(super) fn put(&self, contender: &Contender, extent: Extent, samples: &mut Samples) -> Result<()> {
        match self {
            Self::Bulk { streams, throughput, cpu } => {
                let cpu_before = cpu_seconds(contender)?;
                let bulk = iperf3::run(&contender.client.netns(), contender.at(BULK), *streams, extent.seconds)?;
                samples.add(throughput, contender.kind, bulk.gigabits_per_second);
                if let (Some(measure), false) = (cpu, contender.proxies.is_empty()) {
                    let spent = cpu_seconds(contender)? - cpu_before;
                    samples.add(measure, contender.kind, spent / bulk.gigabytes);
                }
                Ok(())
            }
            Self::Requests(requests) => requests.put(contender, extent, samples),
        }
    }
}

impl Requests {
    fn put(&self, contender: &Contender, extent: Extent, samples: &mut Samples) -> Result<()> {
        let kind = contender.kind;
        let seconds = (extent.seconds - 1).max(1);
        let generator = wrk::Wrk { connections: self.connections, keep_alive: self.keep_alive, seconds };
        let result = generator.run(&contender.client.netns(), contender.at(HTTP))?;
        samples.add(self.rate, kind, result.rate);
        for (measure, value) in [(self.p50, result.p50), (self.p99, result.p99)] {
            measure.into_iter().for_each(|measure| samples.add(measure, kind, value));
        }
        samples.add_failures(kind, result.failures);
        Ok(())
    }
}

/// The most memory that fresh proxies need for requests on 64 connections.
pub(super) fn peak_memory(contender: &Contender, extent: Extent, samples: &mut Samples) -> Result<()> {
    contender.proxies.iter().try_for_each(|pid| footprint::reset_peak(*pid))?;
    let generator = wrk::Wrk { connections: 64, keep_alive: true, seconds: extent.seconds };
    generator.run(&contender.client.netns(), contender.at(HTTP))?;
    samples.add_largest(&measure::MEMORY_KEEPALIVE_64, contender, footprint::peak)
}

/// CPU time of all of a contender's proxies so far.
fn cpu_seconds(contender: &Contender) -> Result<f64> {
    contender.proxies.iter().map(|pid| footprint::cpu_seconds(*pid)).sum()
}

/// A generator in a namespace that is killed if it does not end by itself.
fn bounded(netns: &Netns, program: &str, seconds: u32) -> Command {
    let mut command = netns.command("timeout");
    command.args(["--signal=KILL", &(seconds + GRACE).to_string(), program]);
    command
}
