//! Process metrics, read from `/proc` when they are asked for.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// How many file descriptors are open and how many may be. A figure that cannot be read is left out.
#[derive(Debug)]
pub(crate) struct FileDescriptors;

impl Collector for FileDescriptors {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let figures = [
            ("process_open_fds", "Open file descriptors", open()),
            ("process_max_fds", "Open file descriptors allowed", max()),
        ];
        for (name, help, value) in figures {
            if let Some(value) = value {
                encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

fn open() -> Option<u64> {
    // One of them is the directory being read.
    u64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.checked_sub(1)
}

/// The soft limit; none when there is no limit.
fn max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}
