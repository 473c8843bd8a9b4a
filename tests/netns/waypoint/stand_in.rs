//! A waypoint that applies no rules: it takes tunnels, and carries each connection on to one place, in the name
//! of its client.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use ambit_identity::VerifiedPeer;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use ambit_tests::Netns;

use crate::tunnel::{Credentials, PATIENCE, client_config, server_config};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) authority: String,
    /// Who the client proved to be.
    pub(crate) client: String,
    pub(crate) forwarded: String,
}

/// A running stand-in.
pub(crate) struct StandIn {
    seen: Arc<Mutex<Vec<Seen>>>,
    // Its tasks end with it.
    _runtime: Runtime,
}

struct Way {
    netns: Netns,
    credentials: Credentials,
    /// The destination's pod and port.
    to: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl StandIn {
    /// Serves the tunnel port of a namespace, and carries all connections on to `to`.
    pub(crate) fn start(netns: &Netns, credentials: Credentials, to: SocketAddr) -> Result<Self> {
        let listener = netns.run(|| TcpListener::bind("[::]:15008"))??;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&credentials)?));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let way = Arc::new(Way { netns: netns.clone(), credentials, to, seen: Arc::clone(&seen) });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&way)));
            }
        });
        Ok(Self { seen, _runtime: runtime })
    }

    /// The requests that came, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, way: Arc<Way>) -> Result<()> {
    let stream = acceptor.accept(stream).await?;
    let client = VerifiedPeer::of(stream.get_ref().1)?.identity().to_string();
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, answer) = request?;
        tokio::spawn(carry(request, answer, Arc::clone(&way), client.clone()));
    }
    Ok(())
}

async fn carry(
    request: Request<RecvStream>,
    mut answer: h2::server::SendResponse<Bytes>,
    way: Arc<Way>,
    client: String,
) -> Result<()> {
    let header = request.headers().get("forwarded").and_then(|it| it.to_str().ok());
    let forwarded = header.unwrap_or_default().to_owned();
    let seen = Seen { authority: request.uri().to_string(), client, forwarded };
    way.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    let headers = [("ambit-client-principal", seen.client.as_str()), ("forwarded", &seen.forwarded)];
    let (up, response) = open(&way.netns, &way.credentials, way.to, &headers).await?;
    if response.status() != 200 {
        answer.send_response(Response::builder().status(response.status()).body(())?, true)?;
        return Ok(());
    }
    let down = answer.send_response(Response::new(()), false)?;
    tokio::join!(pump(request.into_body(), up), pump(response.into_body(), down));
    Ok(())
}

/// Moves what comes, and its end as it is.
async fn pump(mut from: RecvStream, mut to: SendStream<Bytes>) {
    while let Some(data) = from.data().await {
        let sent = data.and_then(|data| {
            from.flow_control().release_capacity(data.len())?;
            // Nobody stands many empty frames.
            if data.is_empty() { Ok(()) } else { to.send_data(data, false) }
        });
        if sent.is_err() {
            return to.send_reset(Reason::CANCEL);
        }
    }
    to.send_data(Bytes::new(), true).ok();
}

/// Asks the agent of a pod for a connection to one of its ports.
async fn open(
    netns: &Netns,
    credentials: &Credentials,
    to: SocketAddr,
    headers: &[(&str, &str)],
) -> Result<(SendStream<Bytes>, Response<RecvStream>)> {
    let (netns, tunnel) = (netns.clone(), SocketAddr::new(to.ip(), 15008));
    let connect = move || netns.run(|| std::net::TcpStream::connect_timeout(&tunnel, PATIENCE));
    let stream = tokio::task::spawn_blocking(connect).await???;
    stream.set_nonblocking(true)?;
    let connector = TlsConnector::from(Arc::new(client_config(Some(credentials))?));
    let tls = connector.connect(ServerName::from(to.ip()), TcpStream::from_std(stream)?).await?;
    let (sender, connection) = h2::client::handshake(tls).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::CONNECT).uri(to.to_string());
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let (response, body) = sender.ready().await?.send_request(request.body(())?, false)?;
    Ok((body, response.await?))
}

/// Asks for one line of a pod's port with these headers; the line, or the status of the refusal.
pub(crate) fn claim(
    from: &Netns,
    credentials: &Credentials,
    to: SocketAddr,
    headers: &[(&str, &str)],
) -> Result<Result<String, u16>> {
    let exchange = async {
        let (mut body, response) = open(from, credentials, to, headers).await?;
        if response.status() != 200 {
            return Ok(Err(response.status().as_u16()));
        }
        body.send_data(Bytes::from_static(b"who\n"), false)?;
        let line = response.into_body().data().await.context("no data")??;
        Ok(Ok(String::from_utf8_lossy(&line).trim_end().to_owned()))
    };
    let timed = async { tokio::time::timeout(PATIENCE, exchange).await.context("no answer")? };
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(timed)
}
