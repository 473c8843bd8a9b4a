//! A name server: dnsmasq, with the names it was given and no others.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::{Netns, Process, until};

const PATIENCE: Duration = Duration::from_secs(10);

/// The part of the tree of names that it is about: of what it was not given there it says that there is none.
const DOMAIN: &str = "example";

/// A running name server; ended when dropped.
#[derive(Debug)]
pub struct NameServer {
    netns: Netns,
    address: IpAddr,
    folder: PathBuf,
    process: Option<Process>,
    starts: usize,
}

impl NameServer {
    /// Starts one at an address of a namespace. It knows no name yet.
    ///
    /// # Errors
    /// Fails when there is no dnsmasq.
    pub fn start(netns: &Netns, address: IpAddr, folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        fs::write(folder.join("resolv.conf"), format!("nameserver {address}\noptions timeout:1 attempts:1\n"))?;
        let mut server = Self { netns: netns.clone(), address, folder, process: None, starts: 0 };
        server.say(&[])?;
        server.begin()?;
        Ok(server)
    }

    /// Answers again.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn begin(&mut self) -> Result<()> {
        let mut command = self.netns.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
        ]);
        command.args(["--user=root", "--pid-file=", "--log-facility=-"]);
        command.arg(format!("--listen-address={}", self.address)).arg(format!("--local=/{DOMAIN}/"));
        command.arg(format!("--addn-hosts={}", self.hosts().display()));
        let process = Process::start(command, &self.folder, "dnsmasq")?;
        let starts = |process: &Process| process.errors().matches("started, version").count();
        self.starts += 1;
        // Told of other names before that, it would end.
        until("dnsmasq", PATIENCE, || (starts(&process) == self.starts).then_some(()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Answers no more.
    pub fn end(&mut self) {
        self.process = None;
    }

    /// The names it knows from now on, below `example`.
    ///
    /// # Errors
    /// Fails when it has ended.
    pub fn say(&self, names: &[(&str, IpAddr)]) -> Result<()> {
        let lines = names.iter().map(|(name, address)| format!("{address} {name}.{DOMAIN}\n"));
        fs::write(self.hosts(), lines.collect::<String>())?;
        // Told so, it reads its names again.
        self.process.as_ref().map_or(Ok(()), |process| process.signal(Signal::SIGHUP))
    }

    /// What the programs that are to ask it find as /etc/resolv.conf.
    #[must_use]
    pub fn resolv_conf(&self) -> PathBuf {
        self.folder.join("resolv.conf")
    }

    fn hosts(&self) -> PathBuf {
        self.folder.join("hosts")
    }
}

/// The same command, run where another file is /etc/resolv.conf. What is mounted later is seen there all the same.
#[must_use]
pub fn resolving_by(resolv_conf: &Path, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "--propagation=slave", "--", "sh", "-c"]);
    outer.arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"").arg(resolv_conf);
    outer.arg(command.get_program()).args(command.get_args());
    outer
}
