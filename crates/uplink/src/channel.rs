//! The connection to the control plane: one channel for discovery, certificates and reports, made when it
//! is first needed and again whenever it broke.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_identity::{BundleError, Clock, Roots, TrustBundle, control_plane_client_config};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::client::VerifierBuilderError;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::{InterceptedService, Service};
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::ControlPlaneSettings;

/// How long a connection may take to come about, handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is tried, and how long the answer may take: the field's values.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// What the control plane may send before it is read. The first answer is as large as the mesh.
const WINDOW: u32 = 4 << 20;

/// The way to the control plane, with the program's proof in every request.
pub type ControlPlane = InterceptedService<Channel, Credentials>;

/// Why there can be no way to the control plane.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// Its address.
    #[error("--control-plane {address}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        source: http::uri::InvalidUri,
    },
    /// The name in its certificate.
    #[error("--control-plane-name {name:?}")]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// The cluster's name.
    #[error("--cluster {name:?} cannot be sent to the control plane")]
    Cluster {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        source: InvalidMetadataValue,
    },
}

/// The way to the control plane; nothing is sent yet. It is believed behind the roots in the file, and behind
/// those it said itself.
///
/// # Errors
/// If address, name or cluster cannot be what they should.
pub fn channel(
    settings: &ControlPlaneSettings,
    cluster: &str,
    said: Arc<TrustBundle>,
) -> Result<ControlPlane, ControlPlaneError> {
    let uri: Uri = format!("http://{}", settings.address)
        .parse()
        .map_err(|source| ControlPlaneError::Address { address: settings.address.clone(), source })?;
    let name = ServerName::try_from(settings.name.clone())
        .map_err(|source| ControlPlaneError::Name { name: settings.name.clone(), source })?;
    let cluster = cluster.parse().map_err(|source| ControlPlaneError::Cluster { name: cluster.to_owned(), source })?;
    let connector = Connector { address: settings.address.as_str().into(), name, roots: settings.roots.clone(), said };
    let channel = Endpoint::from(uri)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector_lazy(connector);
    Ok(InterceptedService::new(channel, Credentials { token: settings.token.clone(), cluster }))
}

/// Puts the program's proof into every request.
#[derive(Clone)]
pub struct Credentials {
    token: PathBuf,
    cluster: MetadataValue<Ascii>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // Read again each time: the kubelet renews it long before it expires.
        let unreadable = |error: &dyn std::fmt::Display| {
            Status::unauthenticated(format!("the token {} cannot be sent: {error}", self.token.display()))
        };
        let token = std::fs::read_to_string(&self.token).map_err(|error| unreadable(&error))?;
        let bearer = format!("Bearer {}", token.trim()).parse().map_err(|error| unreadable(&error))?;
        request.metadata_mut().insert("authorization", bearer);
        request.metadata_mut().insert("clusterid", self.cluster.clone());
        Ok(request)
    }
}

/// Makes connections to the control plane.
#[derive(Clone)]
struct Connector {
    address: Arc<str>,
    name: ServerName<'static>,
    roots: PathBuf,
    said: Arc<TrustBundle>,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("cannot connect to {address}")]
    Connect { address: Arc<str>, source: io::Error },
    #[error("{address} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut { address: Arc<str> },
    #[error("no TLS with {address}")]
    Handshake { address: Arc<str>, source: io::Error },
    #[error(transparent)]
    Roots(#[from] BundleError),
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
}

impl Connector {
    async fn connect(&self) -> Result<TokioIo<TlsStream<TcpStream>>, ConnectError> {
        let address = || Arc::clone(&self.address);
        let connected = async {
            let config = control_plane_client_config(&self.believed()?, Clock::default())?;
            let failed = |source| ConnectError::Connect { address: address(), source };
            let stream = TcpStream::connect(&*self.address).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let handshake = TlsConnector::from(config).connect(self.name.clone(), stream).await;
            handshake.map(TokioIo::new).map_err(|source| ConnectError::Handshake { address: address(), source })
        };
        let timed_out = |_| Err(ConnectError::TimedOut { address: address() });
        tokio::time::timeout(CONNECT_TIMEOUT, connected).await.unwrap_or_else(timed_out)
    }
}

impl Connector {
    /// The roots, which are replaced while programs run: read again each time. The kubelet brings a new one to the
    /// file within a minute, the control plane says it at once.
    fn believed(&self) -> Result<Roots, BundleError> {
        let mut roots = TrustBundle::load(&self.roots)?.roots().certificates().to_vec();
        let said = self.said.roots();
        let more = said.certificates().iter().filter(|root| !roots.contains(root)).cloned().collect::<Vec<_>>();
        roots.extend(more);
        Roots::from_der(roots)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(connector.connect().await?) })
    }
}

#[cfg(test)]
mod tests {
    use ambit_identity::{CaOptions, CertificateAuthority, NewRoot, serving_config};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn the_control_plane_is_believed_behind_the_file_and_behind_what_it_said() {
        let options = || CaOptions::new("cluster.local");
        let [old, new, other] = [(); 3].map(|()| NewRoot::generate(&options()).unwrap());
        let both = format!("{}{}", old.certificate, new.certificate);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        for (what, in_file, said, signer, believed) in [
            ("a root that the file has not yet", &old.certificate, &both, &new, true),
            ("a root that the file has already", &new.certificate, &old.certificate, &new, true),
            ("a root that nobody named", &old.certificate, &old.certificate, &new, false),
            ("another's", &both, &both, &other, false),
        ] {
            std::fs::write(&file, in_file).unwrap();
            let said = Arc::new(TrustBundle::new(Roots::from_pem(said.as_bytes()).unwrap()));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string().into();
            let signer = CertificateAuthority::from_pem(&signer.certificate, &signer.key, options()).unwrap();
            let tls = serving_config(vec!["ambitd".to_owned()], watch::channel(Arc::new(signer)).1).unwrap();
            let serve = async {
                let stream = listener.accept().await.unwrap().0;
                if let Ok(mut stream) = TlsAcceptor::from(Arc::new(tls)).accept(stream).await {
                    stream.shutdown().await.ok();
                }
            };
            let name = ServerName::try_from("ambitd").unwrap();
            let connector = Connector { address, name, roots: file.clone(), said };
            let (connected, ()) = tokio::join!(connector.connect(), serve);
            assert_eq!(connected.is_ok(), believed, "{what}: {:?}", connected.err());
        }
    }
}
