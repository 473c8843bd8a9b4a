//! Both ends of a tunnel in the hands of a test: certificates of any kind, a client and a server.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ambit_identity::{CaOptions, CertificateAuthority, LeafTemplate, crypto_provider};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use ambit_tests::{Mesh, Netns};

/// How long an end of a tunnel may be silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The certificate authority of a mesh, or one the mesh does not know.
pub(crate) struct Authority {
    ca: CertificateAuthority,
    roots: RootCertStore,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Now,
    Over,
    Later,
}

impl Authority {
    /// The authority of a mesh's agents.
    pub(crate) fn of(mesh: &Mesh) -> Result<Self> {
        Self::open(&mesh.world.directory().join("state"))
    }

    /// The authority of a state folder.
    pub(crate) fn open(state: &Path) -> Result<Self> {
        let ca = CertificateAuthority::open_or_create(state, CaOptions::new("cluster.local"))?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(state.join("ca/roots.pem"))? {
            roots.add(root?)?;
        }
        Ok(Self { ca, roots })
    }

    /// A key with a certificate for `uris`.
    pub(crate) fn certify(&self, uris: &[&str], validity: Validity) -> Result<Credentials> {
        let key = rcgen::KeyPair::generate()?;
        let start = match validity {
            Validity::Now => SystemTime::now() - DAY,
            Validity::Over => SystemTime::now() - DAY * 3,
            Validity::Later => SystemTime::now() + DAY,
        };
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        let template = LeafTemplate { uris, dns_names: Vec::new(), not_before: start, not_after: start + DAY * 2 };
        let chain = self.ca.sign(&key, &template)?.0;
        Ok(Credentials { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(), roots: self.roots.clone() })
    }
}

/// What an end of a tunnel shows and believes.
pub(crate) struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
}

/// How a request for a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With 200, and this line from the application at the end.
    Served(String),
    /// With another status.
    Status(u16),
    /// With the end of the connection.
    Broken,
}

/// Asks for a tunnel to `authority` and, through it, the application who it sees.
pub(crate) fn request(
    from: &Netns,
    to: SocketAddr,
    credentials: Option<&Credentials>,
    (method, authority): (Method, &str),
) -> Result<Answer> {
    let stream = from.run(|| std::net::TcpStream::connect_timeout(&to, PATIENCE))??;
    stream.set_nonblocking(true)?;
    let request = Request::builder().method(method).uri(authority).body(())?;
    let config = client_config(credentials)?;
    let exchange = async {
        let exchange = exchange(TcpStream::from_std(stream)?, config, request);
        tokio::time::timeout(PATIENCE, exchange).await.context("no answer to a request for a tunnel")
    };
    let answer = runtime::Builder::new_current_thread().enable_all().build()?.block_on(exchange);
    answer.map(|answer| answer.unwrap_or(Answer::Broken))
}

async fn exchange(stream: TcpStream, config: ClientConfig, request: Request<()>) -> Result<Answer> {
    let name = ServerName::from(stream.peer_addr()?.ip());
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (sender, connection) = h2::client::handshake(tls).await?;
    tokio::spawn(connection);
    let (response, mut body) = sender.ready().await?.send_request(request, false)?;
    let response = response.await?;
    if response.status() != 200 {
        // A refusal is its status and not a word more.
        ensure!(response.headers().is_empty() && response.body().is_end_stream(), "a talkative refusal: {response:?}");
        return Ok(Answer::Status(response.status().as_u16()));
    }
    body.send_data(Bytes::from_static(b"who\n"), false)?;
    let line = response.into_body().data().await.context("no data")??;
    Ok(Answer::Served(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

/// A connection to a tunnel port that says nothing once TLS is up.
pub(crate) struct Silence {
    stream: TlsStream<TcpStream>,
    runtime: Runtime,
}

impl Silence {
    /// Shakes hands, and falls silent.
    pub(crate) fn after_tls(from: &Netns, to: SocketAddr, credentials: &Credentials) -> Result<Self> {
        let stream = from.run(|| std::net::TcpStream::connect_timeout(&to, PATIENCE))??;
        stream.set_nonblocking(true)?;
        let config = client_config(Some(credentials))?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(async {
            TlsConnector::from(Arc::new(config)).connect(to.ip().into(), TcpStream::from_std(stream)?).await
        })?;
        Ok(Self { stream, runtime })
    }

    /// Waits until the server has had enough.
    pub(crate) fn wait_end(mut self, limit: Duration) -> Result<()> {
        let end =
            async { tokio::time::timeout(limit, tokio::io::copy(&mut self.stream, &mut tokio::io::sink())).await };
        // An error is an end too.
        self.runtime.block_on(end).map(drop).context("the server keeps a silent client")
    }
}

/// What a client of tunnels shows and believes.
pub(crate) fn client_config(credentials: Option<&Credentials>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(crypto_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match credentials {
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// A server of tunnels that answers each request with 200 and each line with the same line.
pub(crate) struct TunnelServer {
    received: Arc<Mutex<Vec<u8>>>,
    // Its tasks end with it.
    _runtime: Runtime,
}

impl TunnelServer {
    /// Serves the tunnel port of a namespace.
    pub(crate) fn start(netns: &Netns, credentials: &Credentials) -> Result<Self> {
        let listener = netns.run(|| TcpListener::bind("[::]:15008"))??;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let acceptor = TlsAcceptor::from(Arc::new(server_config(credentials)?));
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&received);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { received, _runtime: runtime })
    }

    /// All that clients sent through tunnels.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, received: Arc<Mutex<Vec<u8>>>) -> Result<()> {
    let mut connection = h2::server::handshake(acceptor.accept(stream).await?).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut answer) = request?;
        let mut sender = answer.send_response(Response::new(()), false)?;
        let received = Arc::clone(&received);
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&data);
                if sender.send_data(data, false).is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// What a server of tunnels shows and believes.
pub(crate) fn server_config(credentials: &Credentials) -> Result<ServerConfig> {
    let provider = || Arc::clone(crypto_provider());
    let roots = Arc::new(credentials.roots.clone());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?)
        .with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Believes any server: what is under test is whether the server believes the client.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 was not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto_provider().signature_verification_algorithms.supported_schemes()
    }
}
