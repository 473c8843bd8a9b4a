//! A client of the control plane, with its roots as any pod may read them.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use anyhow::Result;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Uri};

use ambit_identity::{Clock, Roots, control_plane_client_config};
use ambit_tests::cluster::{Pod, SYSTEM, kubectl};

/// Connects to a replica.
pub(crate) async fn channel(address: SocketAddr) -> Result<Channel> {
    let config = control_plane_client_config(&Roots::from_pem(roots()?.as_bytes())?, Clock::default())?;
    let name = ServerName::try_from(name())?;
    let stream = TlsConnector::from(config).connect(name, TcpStream::connect(address).await?).await?;
    let connected = Connected(Some(TokioIo::new(stream)));
    Ok(Endpoint::from_static("http://control-plane").connect_with_connector(connected).await?)
}

/// What its certificate is of.
pub(crate) fn name() -> String {
    format!("ambitd.{SYSTEM}.svc")
}

/// Its roots, in PEM.
pub(crate) fn roots() -> Result<String> {
    let template = r#"--output=go-template={{index .data "root-cert.pem"}}"#;
    kubectl(&["--namespace", SYSTEM, "get", "configmap", "istio-ca-root-cert", template])
}

/// The token of a pod, as the kubelet would mount it.
pub(crate) fn token(pod: &Pod, account: &str) -> Result<String> {
    let uid = format!("--bound-object-uid={}", pod.text("/metadata/uid")?);
    let name = format!("--bound-object-name={}", pod.name());
    let bound = ["--audience=istio-ca", "--bound-object-kind=Pod", &name, &uid];
    let token = kubectl(&[&["--namespace", pod.namespace(), "create", "token", account], &bound[..]].concat())?;
    Ok(token.trim().to_owned())
}

/// The replicas.
pub(crate) fn control_planes() -> Result<Vec<Pod>> {
    let names =
        kubectl(&["--namespace", SYSTEM, "get", "pods", "--selector=app.kubernetes.io/name=ambitd", "--output=name"])?;
    Ok(names.lines().filter_map(|line| line.strip_prefix("pod/")).map(|name| Pod::named(SYSTEM, name)).collect())
}

/// A connection for who asks for one.
struct Connected(Option<TokioIo<TlsStream<TcpStream>>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::Error::other("there was one connection only")))
    }
}
