use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CommonState, HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;
use crate::fixture::{Mesh, account, until};
use crate::leaf::LeafError;
use crate::{LeafTemplate, PeerError, VerifiedPeer};

type Ends = (io::Result<client::TlsStream<DuplexStream>>, io::Result<server::TlsStream<DuplexStream>>);

async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::IpAddress(std::net::Ipv4Addr::new(10, 0, 0, 1).into());
    tokio::join!(TlsConnector::from(client).connect(name, near), TlsAcceptor::from(server).accept(far))
}

/// `cart` of one mesh calls `till` of another.
async fn call(from: &Mesh, to: &Mesh) -> Ends {
    let client = from.tls.client_config(&account("cart"), &[account("till")]).await.unwrap();
    handshake(client, to.tls.server_config(&account("till")).await.unwrap()).await
}

fn reason<T>(result: io::Result<T>) -> PeerError {
    PeerError::from_io(&result.err().expect("was accepted")).expect("a reason")
}

fn peer(connection: &CommonState) -> ambit_model::Identity {
    VerifiedPeer::of(connection).unwrap().identity().clone()
}

#[tokio::test(start_paused = true)]
async fn both_ends_learn_who_the_other_is() {
    let mesh = Mesh::new();
    let (client, server) = call(&mesh, &mesh).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(peer(client.get_ref().1), account("till"));
    assert_eq!(peer(server.get_ref().1), account("cart"));
    let certificate = mesh.store.certificate(&account("cart")).await.unwrap();
    assert_eq!(VerifiedPeer::of(server.get_ref().1).unwrap().not_after(), certificate.not_after());
    assert_eq!(server.get_ref().1.server_name(), None);
    for connection in [&**client.get_ref().1 as &CommonState, server.get_ref().1] {
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(connection.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
        assert_eq!(connection.alpn_protocol(), Some(ALPN_H2));
    }
    assert_eq!(call(&mesh, &mesh).await.1.unwrap().get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    let mut read = [0; 5];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

#[tokio::test(start_paused = true)]
async fn the_client_insists_on_whom_it_called() {
    let mesh = Mesh::new();
    let server = mesh.tls.server_config(&account("till")).await.unwrap();
    for expected in [vec![], vec![account("bank")], vec![account("bank"), account("cart")]] {
        let client = mesh.tls.client_config(&account("cart"), &expected).await.unwrap();
        let (client, _) = handshake(client, Arc::clone(&server)).await;
        assert_eq!(reason(client), PeerError::Identity { expected, got: account("till") });
    }
    let client = mesh.tls.client_config(&account("cart"), &[account("bank"), account("till")]).await.unwrap();
    let (client, _) = handshake(client, server).await;
    client.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_client_looks_at_the_time_and_the_issuer() {
    let mesh = Mesh::new();
    let now = mesh.clock.now();
    let agent = |now| Mesh::agent(Arc::clone(&mesh.dir), Clock::tokio(now));
    let day = Duration::from_secs(24 * 3600);
    assert!(matches!(reason(call(&agent(now + day + day), &mesh).await.0), PeerError::Expired { .. }));
    assert!(matches!(reason(call(&agent(now - day), &mesh).await.0), PeerError::NotYetValid { .. }));
    assert_eq!(reason(call(&Mesh::new(), &mesh).await.0), PeerError::UnknownIssuer);
    call(&agent(now - Duration::from_secs(5)), &mesh).await.0.expect("clocks a little apart are nothing to fail on");
}

/// A client that shows what its authority would never issue.
fn odd_client(mesh: &Mesh, template: &LeafTemplate) -> Arc<ClientConfig> {
    let key = KeyPair::generate().unwrap();
    let chain = mesh.ca.sign(&key, template).unwrap().0;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = CertifiedKey::from_der(chain, key, crypto_provider()).unwrap();
    let verifier = ServerVerifier { roots: mesh.bundle.roots(), expected: [account("till")].into() };
    let config = ClientConfig::builder_with_details(Arc::clone(crypto_provider()), Arc::new(mesh.clock))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Arc::new(config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}

#[tokio::test(start_paused = true)]
async fn the_server_believes_only_workloads_of_its_mesh() {
    let mesh = Mesh::new();
    let now = mesh.clock.now();
    let minute = Duration::from_secs(60);
    let cart = account("cart").to_string();
    let good = LeafTemplate {
        uris: vec![cart.clone()],
        dns_names: Vec::new(),
        not_before: now - minute,
        not_after: now + minute,
    };
    let of = |uris: &[&str]| LeafTemplate { uris: uris.iter().map(ToString::to_string).collect(), ..good.clone() };

    type Check = fn(&PeerError) -> bool;
    let names: Check = |error| matches!(error, PeerError::Leaf(LeafError::Names { .. }));
    let not_spiffe: Check = |error| matches!(error, PeerError::Leaf(LeafError::Identity(_)));
    let cases: [(LeafTemplate, Check); 9] = [
        (LeafTemplate { not_after: now - minute / 2, ..good.clone() }, |e| matches!(e, PeerError::Expired { .. })),
        (LeafTemplate { not_before: now + minute / 2, ..good.clone() }, |e| matches!(e, PeerError::NotYetValid { .. })),
        (of(&["spiffe://other.mesh/ns/shop/sa/cart"]), |e| matches!(e, PeerError::TrustDomain { .. })),
        (of(&[&cart, "spiffe://cluster.local/ns/shop/sa/till"]), names),
        (of(&[]), names),
        (LeafTemplate { dns_names: vec!["cart.shop".into()], ..good.clone() }, names),
        (LeafTemplate { uris: Vec::new(), dns_names: vec!["cart.shop".into()], ..good.clone() }, names),
        (of(&["https://cluster.local/ns/shop/sa/cart"]), not_spiffe),
        (of(&["spiffe://cluster.local/ns/shop/sa/cart/x"]), not_spiffe),
    ];
    let server = mesh.tls.server_config(&account("till")).await.unwrap();
    handshake(odd_client(&mesh, &good), Arc::clone(&server)).await.1.unwrap();
    for (template, check) in cases {
        let error = reason(handshake(odd_client(&mesh, &template), Arc::clone(&server)).await.1);
        assert!(check(&error), "{template:?}: {error}");
    }
    // Signed by another authority of the same trust domain.
    let error = reason(handshake(stranger(&mesh, &good), server).await.1);
    assert_eq!(error, PeerError::UnknownIssuer);
}

/// A client of another authority that believes ours.
fn stranger(mesh: &Mesh, template: &LeafTemplate) -> Arc<ClientConfig> {
    let other = Mesh { bundle: Arc::clone(&mesh.bundle), clock: mesh.clock, ..Mesh::new() };
    odd_client(&other, template)
}

#[tokio::test(start_paused = true)]
async fn the_server_wants_a_certificate() {
    let mesh = Mesh::new();
    let server = mesh.tls.server_config(&account("till")).await.unwrap();
    let verifier = ServerVerifier { roots: mesh.bundle.roots(), expected: [account("till")].into() };
    let client = ClientConfig::builder_with_details(Arc::clone(crypto_provider()), Arc::new(mesh.clock))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let (_, server) = handshake(Arc::new(client), server).await;
    assert_eq!(reason(server), PeerError::NoCertificate);
}

#[tokio::test(start_paused = true)]
async fn open_connections_outlive_renewal() {
    let mesh = Mesh::new();
    let (client, server) = call(&mesh, &mesh).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let cart = account("cart");
    let first = mesh.store.current(&cart).unwrap();
    let config = mesh.tls.client_config(&cart, &[account("till")]).await.unwrap();
    assert!(Arc::ptr_eq(&config, &mesh.tls.client_config(&cart, &[account("till")]).await.unwrap()));

    until(|| mesh.clock.now() > first.not_after()).await;
    server.write_all(b"still here").await.unwrap();
    server.flush().await.unwrap();
    let mut read = [0; 10];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");

    assert!(!Arc::ptr_eq(&config, &mesh.tls.client_config(&cart, &[account("till")]).await.unwrap()));
    let (_, server) = call(&mesh, &mesh).await;
    let shown = server.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_ne!(shown, first.chain()[0]);
}

#[tokio::test(start_paused = true)]
async fn roots_are_rotated_without_a_restart() {
    let (old, new) = (Mesh::new(), Mesh::new());
    let path = |mesh: &Mesh| mesh.dir.path().join("ca/roots.pem");
    let (old_root, new_root) = (fs::read_to_string(path(&old)).unwrap(), fs::read_to_string(path(&new)).unwrap());
    let tasks = [&old, &new].map(|mesh| {
        let (bundle, file) = (Arc::clone(&mesh.bundle), path(mesh));
        tokio::spawn(async move { bundle.watch(&file).await })
    });
    let replace = async |text: &str, count: usize| {
        for mesh in [&old, &new] {
            let fresh = mesh.dir.path().join("fresh.pem");
            fs::write(&fresh, text).unwrap();
            fs::rename(&fresh, path(mesh)).unwrap();
            until(|| mesh.bundle.roots().certificates().len() == count).await;
        }
    };
    assert_eq!(reason(call(&old, &new).await.0), PeerError::UnknownIssuer);

    let client_config = async || old.tls.client_config(&account("cart"), &[account("till")]).await.unwrap();
    let (before, changed) = (client_config().await, old.tls.trust_changed());
    assert!(Arc::ptr_eq(&before, &client_config().await), "without a change it is the same");
    replace(&format!("{old_root}{new_root}"), 2).await;
    changed.await;
    assert!(!Arc::ptr_eq(&before, &client_config().await), "tunnels of the old configuration are not to be used");
    for (from, to) in [(&old, &new), (&new, &old), (&old, &old), (&new, &new)] {
        let (client, server) = call(from, to).await;
        client.unwrap();
        server.unwrap();
    }

    replace(&new_root, 1).await;
    assert_eq!(reason(call(&new, &old).await.0), PeerError::UnknownIssuer);
    assert_eq!(reason(call(&old, &new).await.1), PeerError::UnknownIssuer);
    call(&new, &new).await.1.unwrap();
    for task in tasks {
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaf_that_signs_another_is_no_authority() {
    let mesh = Mesh::new();
    let now = SystemTime::now();
    let (middle, end) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut template = LeafTemplate {
        uris: vec![account("cart").to_string()],
        dns_names: Vec::new(),
        not_before: now - Duration::from_secs(60),
        not_after: now + Duration::from_secs(60),
    };
    let signer = mesh.ca.sign(&middle, &template).unwrap().0.remove(0);
    template.uris = vec![account("till").to_string()];
    let issuer = rcgen::Issuer::from_ca_cert_der(&signer, middle).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(account("till").to_string().try_into().unwrap())];
    let forged = params.signed_by(&end, &issuer).unwrap().der().clone();
    let roots = mesh.bundle.roots();
    let now = rustls::pki_types::UnixTime::now();
    let error = roots.client_verifier.verify_client_cert(&forged, &[signer], now).unwrap_err();
    assert!(matches!(PeerError::from_tls(&error), Some(PeerError::Chain(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_intermediate_authority_is_sent_along() {
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let clock = Clock::tokio(SystemTime::now());
    crate::fixture::open_ca(dir.path(), clock);
    let root_key = KeyPair::generate().unwrap();
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, name);
        params
    };
    let root = rcgen::CertifiedIssuer::self_signed(authority("root"), root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let middle = authority("middle").signed_by(&key, &root).unwrap();
    fs::write(dir.path().join("ca/ca.key"), key.serialize_pem()).unwrap();
    fs::write(dir.path().join("ca/ca.crt"), format!("{}{}", middle.pem(), root.pem())).unwrap();
    fs::write(dir.path().join("ca/roots.pem"), root.pem()).unwrap();

    let mesh = Mesh::agent(dir, clock);
    let (client, server) = call(&mesh, &mesh).await;
    assert_eq!(peer(client.unwrap().get_ref().1), account("till"));
    assert_eq!(peer(server.unwrap().get_ref().1), account("cart"));
    assert_eq!(mesh.store.current(&account("cart")).unwrap().chain().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_forgotten_have_no_configuration() {
    let mesh = Mesh::new();
    call(&mesh, &mesh).await.0.unwrap();
    mesh.tls.retain(|identity| *identity == account("till"));
    assert_eq!(mesh.tls.cache.lock().unwrap().keys().collect::<Vec<_>>(), [&account("till")]);
    assert!(mesh.store.current(&account("cart")).is_none());
}
