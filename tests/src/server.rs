//! Small TCP servers inside a namespace, one thread a connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use nix::sys::socket;

use crate::Netns;

/// What a server does with a connection. All but the greeting work line by line until the peer
/// ends its side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers each line with the same line.
    Echo,
    /// Answers each line with the address of the peer it sees.
    Whoami,
    /// Answers each line with this text: to tell servers apart.
    Say(String),
    /// Speaks first: sends this line, then echoes.
    Greet(String),
}

/// A running server; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    connections: Arc<Mutex<Vec<Accepted>>>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Accepted {
    peer: SocketAddr,
    stream: TcpStream,
}

impl Server {
    /// Serves `port` at every address, of both families, of a namespace.
    ///
    /// # Errors
    /// Fails when the port cannot be bound.
    pub fn start(netns: &Netns, port: u16, behaviour: Behaviour) -> Result<Self> {
        Self::start_at(netns, SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), behaviour)
    }

    /// Serves one address in a namespace.
    ///
    /// # Errors
    /// Fails when the address cannot be bound.
    pub fn start_at(netns: &Netns, address: SocketAddr, behaviour: Behaviour) -> Result<Self> {
        let listener = netns.run(|| TcpListener::bind(address))?.with_context(|| format!("bind {address}"))?;
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (own, shared) = (listener.try_clone()?, Arc::clone(&connections));
        let acceptor = thread::spawn(move || accept(&own, &shared, &behaviour));
        Ok(Self { listener, connections, acceptor: Some(acceptor) })
    }

    /// The peers of all connections it ever accepted, oldest first.
    #[must_use]
    pub fn peers(&self) -> Vec<SocketAddr> {
        lock(&self.connections).iter().map(|accepted| accepted.peer).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Shutting a listening socket down is what wakes accept(2) on Linux.
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
        for Accepted { stream, .. } in lock(&self.connections).iter() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn accept(listener: &TcpListener, connections: &Mutex<Vec<Accepted>>, behaviour: &Behaviour) {
    while let Ok((stream, peer)) = listener.accept() {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (Ok(shared), behaviour) = (stream.try_clone(), behaviour.clone()) else { return };
        lock(connections).push(Accepted { peer, stream: shared });
        // A peer that goes away ends its own thread only.
        thread::spawn(move || serve(&stream, peer, &behaviour).and_then(|()| stream.shutdown(Shutdown::Both)));
    }
}

fn serve(mut stream: &TcpStream, peer: SocketAddr, behaviour: &Behaviour) -> std::io::Result<()> {
    if let Behaviour::Greet(text) = behaviour {
        stream.write_all(format!("{text}\n").as_bytes())?;
    }
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        match behaviour {
            Behaviour::Echo | Behaviour::Greet(_) => stream.write_all(&line)?,
            Behaviour::Whoami => stream.write_all(format!("{peer}\n").as_bytes())?,
            Behaviour::Say(text) => stream.write_all(format!("{text}\n").as_bytes())?,
        }
        line.clear();
    }
    Ok(())
}

fn lock(connections: &Mutex<Vec<Accepted>>) -> MutexGuard<'_, Vec<Accepted>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
