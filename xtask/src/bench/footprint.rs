//! What a process costs: CPU time and resident memory, from /proc.

use std::fs;

use anyhow::{Context as _, Result};

/// Clock ticks a second in /proc/PID/stat: fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

const KIB_PER_MIB: f64 = 1024.0;

/// User and system time of a process so far, in seconds.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_cpu(&text).with_context(|| format!("{path}: {text}"))
}

/// Resident memory in MiB.
pub(super) fn resident(pid: u32) -> Result<f64> {
    status(pid, "VmRSS")
}

/// The most resident memory since [`reset_peak`], in MiB.
pub(super) fn peak(pid: u32) -> Result<f64> {
    status(pid, "VmHWM")
}

/// Starts to look for the peak anew.
pub(super) fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("write {path}"))
}

fn status(pid: u32, field: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_status(&text, field).with_context(|| format!("{path}: no {field}"))
}

/// The name of a process, in brackets, may itself contain spaces and brackets: count from its end.
fn parse_cpu(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

fn parse_status(status: &str, field: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / KIB_PER_MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_time_behind_any_name() {
        let rest = "S 1 2 3 0 -1 4194560 100 0 0 0 150 50 7 8 20 0 1 0 1 1 1";
        assert_eq!(parse_cpu(&format!("42 (nginx) {rest}")), Some(2.0));
        assert_eq!(parse_cpu(&format!("42 (a ) (b) {rest}")), Some(2.0));
        assert_eq!(parse_cpu("42 (nginx) S 1 2"), None);
    }

    #[test]
    fn reads_memory_fields() {
        let status = "Name:\tx\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(parse_status(status, "VmRSS"), Some(2.0));
        assert_eq!(parse_status(status, "VmHWM"), Some(4.0));
        assert_eq!(parse_status(status, "VmSwap"), None);
    }

    #[test]
    fn a_process_sees_itself() {
        assert!(resident(std::process::id()).unwrap() > 0.0);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
