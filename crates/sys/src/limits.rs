//! Process limits.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files to the hard limit: two sockets a connection add up. Returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Open files of this process and their limit.
pub fn process_open_files() -> io::Result<(u64, u64)> {
    let open = std::fs::read_dir("/proc/self/fd")?.count();
    let (soft, _hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // One of them is the directory being read.
    Ok((u64::try_from(open).unwrap_or(u64::MAX).saturating_sub(1), soft))
}
