//! Two proxies in a row on loopback, for measuring what the tunnel costs against two that only copy:
//! `two_hop hbone LISTEN UPSTREAM` and `two_hop plain LISTEN UPSTREAM`.
//!
//! Each proxy has a thread and a single-threaded runtime of its own. `hbone` carries every connection
//! in one HTTP/2 tunnel over TLS 1.3 with certificates made at start; `plain` joins TCP to TCP twice.

#![expect(clippy::unwrap_used, reason = "a measuring tool: the first failure ends it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ambit_hbone::{
    Authority, ConnectRequest, Dialled, Pool, Progress, Settings, authority, serve, splice, splice_plain,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

/// Plaintext queued in rustls. More spills the caches: every record is copied once before it is sealed.
const TLS_BUFFER: usize = 128 << 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, listen, upstream] = args.as_slice() else {
        panic!("usage: two_hop hbone|plain LISTEN UPSTREAM");
    };
    let (listen, upstream): (SocketAddr, SocketAddr) = (listen.parse().unwrap(), upstream.parse().unwrap());
    let between = SocketAddr::new(listen.ip(), listen.port() + 1);
    let (server_tls, client_tls) = certificates();
    let (first, second) = match mode.as_str() {
        "hbone" => (
            proxy(move || hbone_server(between, server_tls)),
            proxy(move || hbone_client(listen, between, upstream, client_tls)),
        ),
        "plain" => (proxy(move || plain(between, upstream)), proxy(move || plain(listen, between))),
        other => panic!("no mode {other}"),
    };
    first.join().unwrap();
    second.join().unwrap();
}

fn proxy<F: Future<Output = ()>>(run: impl FnOnce() -> F + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, run());
    })
}

fn certificates() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["peer".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let versions = [&rustls::version::TLS13];
    let mut server = ServerConfig::builder_with_protocol_versions(&versions)
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut client =
        ClientConfig::builder_with_protocol_versions(&versions).with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    (Arc::new(server), Arc::new(client))
}

/// Bytes that nobody looks at.
#[derive(Default)]
struct Carried(AtomicU64, AtomicU64);

impl Carried {
    fn progress(&self) -> Progress<'_> {
        Progress { sent: &self.0, received: &self.1 }
    }
}

async fn plain(listen: SocketAddr, upstream: SocketAddr) {
    let listener = TcpListener::bind(listen).await.unwrap();
    loop {
        let tcp = accept(&listener).await;
        spawn_local(async move {
            let to = dial(upstream).await.unwrap();
            drop(splice_plain(tcp, to, &Carried::default().progress()).await);
        });
    }
}

async fn hbone_client(listen: SocketAddr, peer: SocketAddr, target: SocketAddr, tls: Arc<ClientConfig>) {
    let pool: Pool<(), String> = Pool::new(Settings::client(), Duration::from_secs(300));
    let authority: Authority = authority::parse(&target.to_string()).unwrap();
    let connector = TlsConnector::from(tls);
    let listener = TcpListener::bind(listen).await.unwrap();
    loop {
        let tcp = accept(&listener).await;
        let (pool, connector, request) = (pool.clone(), connector.clone(), ConnectRequest::new(authority.clone()));
        spawn_local(async move {
            let dial = async move || {
                let tcp = dial(peer).await.map_err(|error| error.to_string())?;
                let name = ServerName::try_from("peer").unwrap();
                let connecting = connector.connect_with(name, tcp, |tls| tls.set_buffer_limit(Some(TLS_BUFFER)));
                let io = connecting.await.map_err(|error| error.to_string())?;
                Ok(Dialled { io, until: None })
            };
            match pool.open(&(), &request, dial).await {
                Ok(stream) => drop(splice(tcp, stream, &Carried::default().progress()).await),
                Err(error) => eprintln!("{error}"),
            }
        });
    }
}

async fn hbone_server(listen: SocketAddr, tls: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(tls);
    let listener = TcpListener::bind(listen).await.unwrap();
    loop {
        let tcp = accept(&listener).await;
        let acceptor = acceptor.clone();
        spawn_local(async move {
            let io = acceptor.accept_with(tcp, |tls| tls.set_buffer_limit(Some(TLS_BUFFER))).await.unwrap();
            let settings = Settings::server();
            let served = serve(io, &settings, CancellationToken::new(), |request| {
                spawn_local(async move {
                    let Authority::Address(target) = *request.authority() else { return };
                    let tcp = dial(target.socket()).await.unwrap();
                    if let Ok(stream) = request.accept() {
                        drop(splice(tcp, stream, &Carried::default().progress()).await);
                    }
                });
            });
            drop(served.await);
        });
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (tcp, _) = listener.accept().await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

async fn dial(to: SocketAddr) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
