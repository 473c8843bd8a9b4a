//! A server that takes tunnels, and connections without one.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ambit_hbone::{Authority, Settings};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::mesh;
use crate::sender::OnThisThread;

/// Every answer's body; as gRPC a message of the 1,019 bytes behind its head.
pub(crate) static ANSWER: [u8; 1024] = {
    let mut answer = [b'.'; 1024];
    (answer[0], answer[1], answer[2], answer[3], answer[4]) = (0, 0, 0, 3, 0xfb);
    answer
};

/// The ports; what is spoken is told by them.
const HTTP1: u16 = 8080;
const HTTP2: u16 = 8081;
const TUNNELS: u16 = 15008;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The state of the mesh's programs.
    #[arg(long)]
    state: PathBuf,
    /// The server's own address.
    #[arg(long)]
    address: IpAddr,
}

pub(crate) async fn serve(options: Options) -> Result<()> {
    let bind = async |port: u16| {
        let address = SocketAddr::new(options.address, port);
        TcpListener::bind(address).await.with_context(|| format!("bind {address}"))
    };
    for port in [HTTP1, HTTP2] {
        let listener = bind(port).await?;
        spawn_local(async move {
            while let Ok(stream) = accept(&listener).await {
                spawn_local(answer(stream, port));
            }
        });
    }
    let tls = mesh::tls(&options.state)?;
    let config = tls.server_config(&mesh::SERVER.parse()?).await?;
    let listener = bind(TUNNELS).await?;
    loop {
        let stream = accept(&listener).await?;
        let acceptor = TlsAcceptor::from(config.clone());
        spawn_local(async move {
            if let Err(error) = tunnel(acceptor, stream).await {
                eprintln!("a tunnel broke: {error:#}");
            }
        });
    }
}

async fn accept(listener: &TcpListener) -> std::io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn tunnel(acceptor: TlsAcceptor, stream: TcpStream) -> Result<()> {
    let stream = acceptor.accept(stream).await?;
    let settings = Settings { max_streams: 4096, ..Settings::server() };
    ambit_hbone::serve(stream, &settings, CancellationToken::new(), |request| {
        let Authority::Address(target) = *request.authority() else { return };
        if let Ok(stream) = request.accept() {
            spawn_local(answer(stream, target.port()));
        }
    })
    .await?;
    Ok(())
}

/// Answers until the client has enough.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, port: u16) {
    let io = TokioIo::new(stream);
    let service = service_fn(async |request: Request<Incoming>| {
        let is_grpc = request.headers().contains_key("te");
        let whole = request.into_body().collect().await;
        Ok::<_, Infallible>(response(is_grpc && whole.is_ok()))
    });
    let served = if port == HTTP1 {
        http1::Builder::new().serve_connection(io, service).await
    } else {
        http2::Builder::new(OnThisThread).max_concurrent_streams(4096).serve_connection(io, service).await
    };
    // Whoever sends the load ends it as it likes.
    drop(served);
}

fn response(is_grpc: bool) -> Response<BoxBody<Bytes, Infallible>> {
    let body = Full::new(Bytes::from_static(&ANSWER));
    let ok = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let mut response = Response::new(match is_grpc {
        true => body.with_trailers(std::future::ready(Some(Ok(ok)))).boxed(),
        false => body.boxed(),
    });
    if is_grpc {
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    }
    response
}
