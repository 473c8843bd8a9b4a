//! Who is who, and tunnels between them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_hbone::{Authority, ConnectRequest, Forwarded, Settings, Tunnel, TunnelStream};
use ambit_identity::{CaOptions, CertificateAuthority, CertificateStore, StoreOptions, TlsConfigs, TrustBundle};
use ambit_model::{Identity, PeerAddr, TunnelTarget};
use anyhow::Result;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";
pub(crate) const SERVER: &str = "spiffe://cluster.local/ns/shop/sa/web";
const WAYPOINT: &str = "spiffe://cluster.local/ns/shop/sa/waypoint";

/// Connections of a tunnel, as node agents have them.
const CONNECTIONS: usize = 100;

/// Who is asked for what.
#[derive(clap::Args, Clone)]
pub(crate) struct Way {
    /// The state of the mesh's programs.
    #[arg(long)]
    state: PathBuf,
    /// The client's own address.
    #[arg(long)]
    from: IpAddr,
    /// The waypoint.
    #[arg(long)]
    waypoint: SocketAddr,
    /// The service's address and port.
    #[arg(long)]
    to: SocketAddr,
}

/// Certificates and trust of the mesh.
pub(crate) fn tls(state: &Path) -> Result<TlsConfigs> {
    let authority = CertificateAuthority::open_or_create(state, CaOptions::new("cluster.local"))?;
    let bundle = TrustBundle::load(&CertificateAuthority::roots_path(state))?;
    let store = CertificateStore::new(Arc::new(authority), StoreOptions::default(), Handle::current());
    Ok(TlsConfigs::new(Arc::new(store), Arc::new(bundle), "cluster.local"))
}

/// So many connections to the service, in as few tunnels as hold them.
pub(crate) async fn open(way: &Way, connections: usize) -> Result<Vec<TunnelStream>> {
    let tls = tls(&way.state)?;
    let mut request = ConnectRequest::new(Authority::Address(TunnelTarget::new(way.to)));
    request.forwarded = Some(Forwarded { client: PeerAddr::new(SocketAddr::new(way.from, 40_000)), host: None });
    let mut streams = Vec::with_capacity(connections);
    while streams.len() < connections {
        let tunnel = tunnel(way, &tls).await?;
        for _ in 0..CONNECTIONS.min(connections - streams.len()) {
            streams.push(tunnel.open(&request).await?);
        }
    }
    Ok(streams)
}

async fn tunnel(way: &Way, tls: &TlsConfigs) -> Result<Tunnel> {
    let client: Identity = CLIENT.parse()?;
    let config = tls.client_config(&client, &[WAYPOINT.parse()?]).await?;
    let stream = connect(way.from, way.waypoint).await?;
    let stream = TlsConnector::from(config).connect(way.waypoint.ip().into(), stream).await?;
    Ok(ambit_hbone::connect(stream, &Settings::client()).await?)
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
