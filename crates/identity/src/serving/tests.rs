use std::io;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::fixture::TRUST_DOMAIN;
use crate::{CaOptions, NewRoot};

const NAME: &str = "ambitd.ambit-system.svc";

/// A new authority and those who trust it.
fn authority(clock: Clock) -> (Arc<CertificateAuthority>, Roots) {
    authority_made_at(clock, clock)
}

fn authority_made_at(made: Clock, clock: Clock) -> (Arc<CertificateAuthority>, Roots) {
    let options = CaOptions { clock, ..CaOptions::new(TRUST_DOMAIN) };
    let root = NewRoot::generate(&CaOptions { clock: made, ..options.clone() }).unwrap();
    let roots = Roots::from_pem(root.certificate.as_bytes()).unwrap();
    (Arc::new(CertificateAuthority::from_pem(&root.certificate, &root.key, options).unwrap()), roots)
}

/// Connects to `name`, trusting `roots`, and says what was shown.
async fn connect(
    server: &ServerConfig,
    roots: &Roots,
    name: &'static str,
    clock: Clock,
) -> io::Result<CertificateDer<'static>> {
    let client = TlsConnector::from(control_plane_client_config(roots, clock).unwrap());
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = TlsAcceptor::from(Arc::new(server.clone()));
    let (near, _far) =
        tokio::join!(client.connect(ServerName::try_from(name).unwrap(), near), async { server.accept(far).await });
    let near: client::TlsStream<DuplexStream> = near?;
    assert_eq!(near.get_ref().1.alpn_protocol(), Some(ALPN_H2));
    Ok(near.get_ref().1.peer_certificates().unwrap()[0].clone())
}

fn not_after(certificate: &CertificateDer<'_>) -> SystemTime {
    X509Certificate::from_der(certificate).unwrap().1.validity().not_after.to_datetime().into()
}

#[tokio::test(start_paused = true)]
async fn the_agent_insists_on_root_name_and_time() {
    let clock = Clock::tokio(SystemTime::now());
    let (ca, roots) = authority(clock);
    let (_, strangers) = authority(clock);
    let (_keep, receiver) = watch::channel(ca);
    let server = serving_config(vec![NAME.to_owned(), "ambitd".to_owned()], receiver).unwrap();

    for name in [NAME, "ambitd"] {
        connect(&server, &roots, name, clock).await.unwrap();
    }
    for (what, roots, name, clock) in [
        ("another name", &roots, "ambitd.other.svc", clock),
        ("another root", &strangers, NAME, clock),
        ("another day", &roots, NAME, Clock::tokio(clock.now() + 2 * DEFAULT_LIFETIME)),
    ] {
        connect(&server, roots, name, clock).await.expect_err(what);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_by_whoever_connects_when_it_is_due() {
    let clock = Clock::tokio(SystemTime::now());
    let (ca, roots) = authority(clock);
    let (sender, receiver) = watch::channel(ca);
    let server = serving_config(vec![NAME.to_owned()], receiver).unwrap();

    let first = connect(&server, &roots, NAME, clock).await.unwrap();
    tokio::time::advance(DEFAULT_LIFETIME * 49 / 100).await;
    assert_eq!(connect(&server, &roots, NAME, clock).await.unwrap(), first);
    tokio::time::advance(DEFAULT_LIFETIME / 50).await;
    let second = connect(&server, &roots, NAME, clock).await.unwrap();
    assert!(not_after(&second) > not_after(&first));

    let (other, other_roots) = authority(clock);
    sender.send_replace(other);
    connect(&server, &other_roots, NAME, clock).await.unwrap();
    connect(&server, &roots, NAME, clock).await.expect_err("it is signed by the new authority");
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_cannot_sign_leaves_the_certificate_in_use() {
    let clock = Clock::tokio(SystemTime::now());
    let (ca, roots) = authority(clock);
    let (sender, receiver) = watch::channel(ca);
    let server = serving_config(vec![NAME.to_owned()], receiver).unwrap();
    let first = connect(&server, &roots, NAME, clock).await.unwrap();

    // Its ten years were over yesterday.
    let long_ago = Clock::tokio(clock.now() - Duration::from_secs(3651 * 24 * 3600));
    let (expired, _) = authority_made_at(long_ago, clock);
    assert!(matches!(
        serving_config(vec![NAME.to_owned()], watch::channel(Arc::clone(&expired)).1),
        Err(ServingError::Issue(IssueError::Expired))
    ));
    sender.send_replace(expired);
    assert_eq!(connect(&server, &roots, NAME, clock).await.unwrap(), first);
}
