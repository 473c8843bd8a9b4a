//! Debian packages: what is missing, and installing it.

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};

use crate::command::{self, program};

/// Those of `wanted` that are not installed.
pub(crate) fn missing<'a>(wanted: &[&'a str]) -> Vec<&'a str> {
    wanted.iter().copied().filter(|name| !installed(name)).collect()
}

/// Installs those of `wanted` that are missing, saying which first.
pub(crate) fn install(wanted: &[&str]) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    if command::find("apt-get").is_none() {
        bail!("this is no Debian; install what Debian calls: {}", missing.join(" "));
    }
    if !command::is_root() {
        bail!("these packages are missing; as root: apt-get install --no-install-recommends {}", missing.join(" "));
    }
    println!("installing with apt-get: {}", missing.join(" "));
    let _quiet = NoServiceStarts::begin()?;
    if try_install(&missing).is_ok() {
        return Ok(());
    }
    // The package lists may be absent (a fresh image) or out of date.
    command::run(program("apt-get").args(["-qq", "update"])).context("apt-get cannot read the package lists")?;
    try_install(&missing).with_context(|| format!("apt-get could not install: {}", missing.join(" ")))
}

/// The version apt would install of `name`, if it knows the package.
pub(crate) fn candidate(name: &str) -> Option<String> {
    let policy = command::output(program("apt-cache").args(["policy", name]).env("LC_ALL", "C")).ok()?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Brings apt's package lists up to date, for `candidate` on a fresh image.
pub(crate) fn refresh() -> Result<()> {
    command::run(program("apt-get").args(["-qq", "update"]))
}

fn installed(name: &str) -> bool {
    command::output(program("dpkg-query").args(["-W", "-f=${db:Status-Status}", name]))
        .is_ok_and(|status| status == "installed")
}

fn try_install(names: &[&str]) -> Result<()> {
    command::run(
        program("apt-get")
            .args(["-qq", "--yes", "--no-install-recommends", "install"])
            .args(names)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// While it lives, packages that bring a daemon do not start it: the tests want the programs of
/// databases and web servers, not services running on the user's machine.
struct NoServiceStarts {
    ours: bool,
}

impl NoServiceStarts {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<Self> {
        let mut open = fs::OpenOptions::new();
        let file = open.write(true).create_new(true).mode(0o755).open(Self::POLICY);
        match file {
            Ok(mut file) => {
                io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n")?;
                file.set_permissions(fs::Permissions::from_mode(0o755))?;
                Ok(Self { ours: true })
            }
            // The machine's owner has a policy already.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("writing {}", Self::POLICY)),
        }
    }
}

impl Drop for NoServiceStarts {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(Path::new(Self::POLICY)).is_err() {
            eprintln!("warning: cannot remove {}; remove it, or no service starts on installation", Self::POLICY);
        }
    }
}
