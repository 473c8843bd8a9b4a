//! Half of the benchmark's bare pair of proxies: copies bytes between two plain TCP connections and
//! does nothing else. Two of them in a row are the bound of any mesh that proxies in user space.
//!
//! `two-hop-proxy LISTEN=TARGET...`, each a socket address. One thread, as a worker of the agent.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// The copy buffer of each direction: the best of those tried (64 KiB costs 8% of the throughput).
const BUFFER: usize = 256 * 1024;

fn main() -> Result<()> {
    let pairs = std::env::args().skip(1).map(|pair| parse(&pair)).collect::<Result<Vec<_>>>()?;
    ensure!(!pairs.is_empty(), "usage: two-hop-proxy LISTEN=TARGET...");
    Builder::new_current_thread().enable_io().build()?.block_on(run(pairs))
}

fn parse(pair: &str) -> Result<(SocketAddr, SocketAddr)> {
    let (listen, target) = pair.split_once('=').with_context(|| format!("{pair}: not LISTEN=TARGET"))?;
    Ok((listen.parse()?, target.parse()?))
}

/// Serves until a listener fails.
async fn run(pairs: Vec<(SocketAddr, SocketAddr)>) -> Result<()> {
    let mut listeners = JoinSet::new();
    for (listen, target) in pairs {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("bind {listen}"))?;
        listeners.spawn(accept(listener, target));
    }
    listeners.join_next().await.context("no listener")??
}

async fn accept(listener: TcpListener, target: SocketAddr) -> Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        // A connection that breaks ends alone; the load generator counts it.
        tokio::spawn(forward(client, target));
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await.map(drop)
}
