//! What a connection is made of: tunnel, PROXY header, TLS; and connections of which nothing is known.

use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::{Settings, serve};
use ambit_l7::{
    ConnectionPool, Credential, CredentialError, CredentialKey, CredentialKind, Credentials, Given, ProxyProtocol,
    TcpPool, Tls, TlsMode, TrafficPolicy,
};
use ambit_model::TunnelProtocol;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::mesh::{Got, HELLO, Mesh, Server, endpoint, identity, nobody, run};
use crate::upstream;

#[test]
fn a_tunnel_names_the_client() {
    run(async {
        // Tunnels end on port 15008 of the endpoint's own address.
        let listener = TcpListener::bind("127.77.0.1:15008").await.unwrap();
        let web = endpoint(0, "127.77.0.1:8080".parse().unwrap(), TunnelProtocol::Hbone);
        let mesh = Mesh::with(vec![web], TrafficPolicy::default());
        let config = mesh.tls.server_config(&identity("web")).await.unwrap();
        let (sender, mut requests) = unbounded_channel();
        spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(config).accept(stream).await.unwrap();
            let stop = CancellationToken::new();
            serve(stream, &Settings::server(), stop, |request| sender.send(request).unwrap()).await
        });
        let destination = async {
            let request = requests.recv().await.unwrap();
            let heard = (request.client_principal().unwrap(), request.authority().to_string());
            let mut stream = request.accept().unwrap();
            let mut head = Vec::new();
            for answer in ["one", "two"] {
                head.clear();
                while !head.ends_with(b"\r\n\r\n") {
                    let b = stream.read_u8().await;
                    if b.is_err() {
                        eprintln!("GIVE {b:?}");
                    }
                    head.push(b.unwrap());
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{answer}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            // Dropped any sooner, it would be reset, and the answer lost.
            (heard, stream)
        };
        let client = async { (mesh.get().await, mesh.get().await) };
        let (got, (heard, _stream)) = futures::join!(client, destination);
        assert_eq!(got, (Got::good("one", 1), Got::good("two", 1)));
        assert_eq!(heard, (Some(identity("cart")), "127.77.0.1:8080".to_owned()));
    });
}

#[test]
fn a_proxy_header_comes_first() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let proxy_protocol = Some(ProxyProtocol::V1);
        let mesh = Mesh::of(&[server.address], TrafficPolicy { proxy_protocol, ..TrafficPolicy::default() });
        assert_eq!(mesh.get().await, Got::good("hello", 1));
        let request = server.requests.borrow()[0].clone();
        assert!(request.starts_with("PROXY TCP4 10.0.0.9 10.96.0.1 5 80\r\nGET /a HTTP/1.1\r\n"), "{request:?}");
    });
}

#[test]
fn tls_believes_whom_the_policy_says() {
    let ca = authority();
    let roots: Arc<str> = ca.pem().into();
    let other = Credentials::Roots(authority().pem().into());
    let tls = |names: &[&str], credentials: &Credentials, insecure_skip_verify| Tls {
        mode: TlsMode::Simple,
        subject_alt_names: names.iter().map(|name| (*name).into()).collect(),
        server_name: None,
        insecure_skip_verify,
        credentials: credentials.clone(),
    };
    let ours = Credentials::Roots(roots);
    let mutual = Tls { mode: TlsMode::Mutual, ..tls(&[], &ours, false) };
    let named = |name: &str| Credentials::Named { namespace: "shop".into(), name: name.into() };
    let key = |name: &str| CredentialKey { kind: CredentialKind::Secret, namespace: "shop".into(), name: name.into() };
    let secret = |roots: &str| Arc::new(Credential { roots: Some(roots.into()), ..Credential::default() });
    let mut given = Given::default();
    given.0.insert(key("ours"), Ok(secret(&ca.pem())));
    given.0.insert(key("other"), Ok(secret(&authority().pem())));
    given.0.insert(key("bad"), Err(CredentialError::Unusable { key: key("bad"), entry: "ca.crt" }));
    for (tls, is_good) in [
        (tls(&[], &ours, false), true),
        (tls(&[], &other, false), false),
        (tls(&[], &other, true), true),
        (tls(&["other", "web"], &ours, false), true),
        (tls(&["spiffe://td/ns/a/sa/web"], &ours, false), true),
        (tls(&["other"], &ours, false), false),
        (Tls { server_name: Some("other".into()), ..tls(&[], &ours, false) }, false),
        // A certificate must be shown, or a Secret known, and is not there.
        (mutual, false),
        (tls(&[], &named("nowhere"), false), false),
        (tls(&[], &named("bad"), false), false),
        (tls(&[], &named("other"), false), false),
        (tls(&[], &named("ours"), false), true),
        (tls(&[], &Credentials::Authorities(vec![key("other"), key("ours")]), false), true),
        (tls(&[], &Credentials::Authorities(vec![key("nowhere")]), false), false),
    ] {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(server_config(&ca)));
            spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
                }
            });
            let policy = TrafficPolicy { tls: tls.clone(), ..TrafficPolicy::default() };
            let mesh = Mesh::given(&[address], policy, given.clone());
            let mesh = mesh.retrying(0, ambit_l7::RetryOn::default());
            let expected = if is_good { Got::good("hello", 1) } else { Got::failed(503, "UF", 1) };
            assert_eq!(mesh.get().await, expected, "{tls:?}");
        });
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_config(ca: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["web".to_owned()]).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI("spiffe://td/ns/a/sa/web".try_into().unwrap()));
    let certificate = params.signed_by(&key, ca).unwrap();
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        // The oldest that an application may speak.
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap()
}

#[test]
fn bytes_are_passed() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let tcp = TcpPool { max_connections: Some(1), ..TcpPool::default() };
        let pool = ConnectionPool { tcp, ..ConnectionPool::default() };
        let policy = TrafficPolicy { pool, ..TrafficPolicy::default() };
        let mesh = Mesh::of(&[nobody().await, server.address], policy);
        let mut connected = upstream::connect(&mesh.worker, &mesh.plan()).await.unwrap();
        assert_eq!(connected.happened.address, Some(server.address));
        connected.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(connected.stream.read_u8().await.unwrap(), b'H');
        let refused = upstream::connect(&mesh.worker, &mesh.plan()).await.unwrap_err();
        assert_eq!(refused.reason.flag(), ambit_telemetry::ResponseFlag::UpstreamOverflow);
        drop(connected);
        upstream::connect(&mesh.worker, &mesh.plan()).await.unwrap();
    });
}

#[test]
fn idle_connections_end() {
    for (idle, longest) in [(Some(50), None), (None, Some(50))] {
        run(async {
            let server = Server::of(&[HELLO]).await;
            let tcp = TcpPool {
                idle_timeout: idle.map(Duration::from_millis),
                max_duration: longest.map(Duration::from_millis),
                ..TcpPool::default()
            };
            let pool = ConnectionPool { tcp, ..ConnectionPool::default() };
            let mesh = Mesh::of(&[server.address], TrafficPolicy { pool, ..TrafficPolicy::default() });
            let mut connected = upstream::connect(&mesh.worker, &mesh.plan()).await.unwrap();
            let error = connected.stream.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        });
    }
}

#[test]
fn another_target_is_asked_for() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let connect_through = Some(("db.example".into(), 5432));
        let mesh = Mesh::of(&[server.address], TrafficPolicy { connect_through, ..TrafficPolicy::default() });
        let mut connected = upstream::connect(&mesh.worker, &mesh.plan()).await.unwrap();
        let mut rest = [0; 5];
        connected.stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"hello");
        assert!(server.requests.borrow()[0].starts_with("CONNECT db.example:5432 HTTP/1.1\r\n"));
    });
}
