//! Connections that did some work and are then held open, idle.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::servers::BODY;
use super::stage::{Contender, HTTP};

/// How long a connection may take to open, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Open connections; closed when dropped.
#[derive(Debug)]
pub(super) struct HeldConnections {
    _streams: Vec<TcpStream>,
}

impl HeldConnections {
    /// Opens connections one after the other; each has got an answer, so it stands from end to end.
    pub(super) fn open(contender: &Contender, count: u32) -> Result<Self> {
        let to = contender.at(HTTP);
        let streams = contender.client.netns().run(|| (0..count).map(|_| exchange(to)).collect::<Result<_>>())??;
        Ok(Self { _streams: streams })
    }
}

fn exchange(to: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("connect to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.ends_with(BODY.as_bytes()) {
        let length = stream.read(&mut part).with_context(|| format!("read from {to}"))?;
        let Some(read) = part.get(..length).filter(|read| !read.is_empty()) else {
            bail!("{to} closed after {:?}", String::from_utf8_lossy(&answer));
        };
        answer.extend_from_slice(read);
    }
    Ok(stream)
}
