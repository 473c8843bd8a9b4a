use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Barrier, LazyLock};
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P521_SHA512, RsaKeySize, SanType, SignatureAlgorithm};
use rustls::pki_types::CertificateSigningRequestDer;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::certificate::WorkloadCertificate;
use crate::fixture::{TRUST_DOMAIN, account, open_ca};
use crate::source::SigningRequest;

fn dir() -> TempDir {
    TempDir::new().unwrap()
}

fn open(dir: &Path) -> Result<CertificateAuthority, OpenError> {
    CertificateAuthority::open_or_create(dir, CaOptions::new(TRUST_DOMAIN))
}

fn csr(names: &[SanType], algorithm: &'static SignatureAlgorithm) -> CertificateSigningRequestDer<'static> {
    csr_of(names, &KeyPair::generate_for(algorithm).unwrap())
}

fn csr_of(names: &[SanType], key: &KeyPair) -> CertificateSigningRequestDer<'static> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.distinguished_name.push(DnType::CommonName, "ignored");
    params.serialize_request(key).unwrap().into()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A file lock belongs to the open file: threads that open it meet each other as processes do.
#[test]
fn all_who_come_at_once_get_the_same_authority() {
    let dir = dir();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    open(dir.path()).unwrap().issuer.key().public_key_pem()
                })
            })
            .collect();
        let keys: Vec<_> = openers.into_iter().map(|opener| opener.join().unwrap()).collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
    });
}

#[test]
fn only_the_owner_can_read_the_key() {
    let dir = dir();
    open(dir.path()).unwrap();
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca"), mode("ca/ca.key")), (0o700, 0o600));

    for bad in [0o640, 0o604, 0o610] {
        fs::set_permissions(dir.path().join("ca/ca.key"), fs::Permissions::from_mode(bad)).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Exposed { mode, .. } if mode == bad), "{error}");
    }
}

#[test]
fn broken_files_are_reported_and_left_alone() {
    type Check = fn(&OpenError) -> bool;
    let cases: [(&str, Option<&str>, Check); 6] = [
        ("ca/ca.key", None, |error| matches!(error, OpenError::Missing { .. })),
        ("ca/ca.crt", None, |error| matches!(error, OpenError::Missing { .. })),
        ("ca/ca.key", Some(""), |error| matches!(error, OpenError::Damaged { .. })),
        ("ca/ca.key", Some("-----BEGIN PRIVATE KEY-----\nMIGH"), |error| matches!(error, OpenError::Damaged { .. })),
        ("ca/ca.crt", Some(""), |error| matches!(error, OpenError::Damaged { .. })),
        ("ca/ca.crt", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), |error| {
            matches!(error, OpenError::Damaged { .. })
        }),
    ];
    for (file, text, check) in cases {
        let dir = dir();
        open(dir.path()).unwrap();
        let path = dir.path().join(file);
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = open(dir.path()).unwrap_err();
        assert!(check(&error), "{file} {text:?}: {error}");
        assert!(error.to_string().contains(file), "{error}");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), text, "{file} was touched");
    }
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let (dir, other) = (dir(), dir());
    open(dir.path()).unwrap();
    open(other.path()).unwrap();
    fs::copy(other.path().join("ca/ca.crt"), dir.path().join("ca/ca.crt")).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Mismatch { .. })));
}

#[test]
fn a_creation_that_died_half_way_is_started_over() {
    let dir = dir();
    fs::create_dir(dir.path().join("ca.unfinished")).unwrap();
    fs::write(dir.path().join("ca.unfinished/ca.key"), "half a k").unwrap();
    open(dir.path()).unwrap();
    assert!(!dir.path().join("ca.unfinished").exists());
}

#[test]
fn a_leaf_is_a_workloads_and_nothing_more() {
    let dir = dir();
    let ca = open(dir.path()).unwrap();
    let (_, request) = SigningRequest::generate(account("cart"), Duration::from_secs(60)).unwrap();
    let before = SystemTime::now();
    let IssuedChain(chain) = ca.issue(request.csr.der(), &account("cart"), Duration::from_secs(60)).unwrap();

    assert_eq!(chain.len(), 1, "a root is not sent along");
    let (_, x509) = X509Certificate::from_der(&chain[0]).unwrap();
    let names = x509.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    assert_eq!(names.value.general_names.len(), 1);
    assert_eq!(x509.subject().iter().count(), 0);
    assert!(!x509.is_ca());
    let usage = x509.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let leaf = crate::leaf::Leaf::parse(&chain[0]).unwrap();
    assert_eq!(leaf.identity, account("cart"));
    assert!(leaf.not_before <= before - Duration::from_secs(10));
    assert!(leaf.not_after <= SystemTime::now() + Duration::from_secs(60));
}

#[test]
fn what_a_real_authority_refuses_is_refused() {
    let dir = dir();
    let ca = open(dir.path()).unwrap();
    let cart = "spiffe://cluster.local/ns/shop/sa/cart";
    let good = csr(&[uri(cart)], &PKCS_ECDSA_P256_SHA256);
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let other_mesh = Identity::new("other.mesh", "shop", "cart");

    type Check = fn(&IssueError) -> bool;
    let names: Check = |error| matches!(error, IssueError::Names { .. });
    let request: Check = |error| matches!(error, IssueError::Request(_));
    let cases: [(&str, CertificateSigningRequestDer<'_>, Identity, Check); 8] = [
        ("another identity", good.clone(), account("till"), names),
        ("two names", csr(&[uri(cart), uri(cart)], &PKCS_ECDSA_P256_SHA256), account("cart"), names),
        (
            "a host name too",
            csr(&[uri(cart), SanType::DnsName("a".try_into().unwrap())], &PKCS_ECDSA_P256_SHA256),
            account("cart"),
            names,
        ),
        ("a forged signature", forged.into(), account("cart"), request),
        ("garbage", vec![0x30, 0x80].into(), account("cart"), request),
        ("nothing", Vec::new().into(), account("cart"), request),
        ("P-521", csr(&[uri(cart)], &PKCS_ECDSA_P521_SHA512), account("cart"), request),
        ("another trust domain", csr(&[uri(&other_mesh.to_string())], &PKCS_ECDSA_P256_SHA256), other_mesh, |error| {
            matches!(error, IssueError::TrustDomain { .. })
        }),
    ];
    for good in [&good, &csr(&[], &PKCS_ECDSA_P256_SHA256)] {
        let IssuedChain(chain) = ca.issue(good, &account("cart"), Duration::from_secs(60)).unwrap();
        assert_eq!(crate::leaf::Leaf::parse(&chain[0]).unwrap().identity, account("cart"));
    }
    for (what, csr, identity, check) in cases {
        let error = ca.issue(&csr, &identity, Duration::from_secs(60)).unwrap_err();
        assert!(check(&error), "{what}: {error:?}");
    }
}

#[test]
fn every_kind_of_key_that_peers_can_check_is_certified() {
    let dir = dir();
    let ca = open(dir.path()).unwrap();
    let of = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let rsa = |algorithm, size| KeyPair::generate_rsa_for(algorithm, size).unwrap();
    for (what, key) in [
        ("P-256", of(&PKCS_ECDSA_P256_SHA256)),
        ("P-384", of(&PKCS_ECDSA_P384_SHA384)),
        ("Ed25519", of(&PKCS_ED25519)),
        ("RSA 2048", rsa(&PKCS_RSA_SHA256, RsaKeySize::_2048)),
        ("RSA 4096", rsa(&PKCS_RSA_SHA512, RsaKeySize::_4096)),
    ] {
        let request = csr_of(&[uri("spiffe://cluster.local/ns/shop/sa/cart")], &key);
        let chain = ca.issue(&request, &account("cart"), Duration::from_secs(60)).unwrap();
        let (_, leaf) = X509Certificate::from_der(&chain.0[0]).unwrap();
        assert_eq!(leaf.public_key().raw, key.subject_public_key_info(), "{what}");
        // As a peer of ours shows it, and another looks at it.
        WorkloadCertificate::new(&account("cart"), &key, chain, SystemTime::now()).unwrap();
    }
}

/// Requests without names, made with OpenSSL: their keys and signatures are right, and not what is certified.
#[test]
fn kinds_of_keys_that_peers_cannot_check_are_refused() {
    let dir = dir();
    let ca = open(dir.path()).unwrap();
    type Check = fn(&IssueError) -> bool;
    let kind: Check = |error| matches!(error, IssueError::KeyType);
    let request: Check = |error| matches!(error, IssueError::Request(_));
    for (what, csr, check) in [
        ("P-384 signed with SHA-256", include_str!("requests/p384-sha256.pem"), kind),
        ("P-256 signed with SHA-384", include_str!("requests/p256-sha384.pem"), kind),
        ("secp256k1", include_str!("requests/secp256k1.pem"), request),
        ("RSA 1024", include_str!("requests/rsa-1024.pem"), request),
        ("RSA signed with PSS", include_str!("requests/rsa-pss.pem"), request),
    ] {
        let error = ca.issue_pem(csr, &account("cart"), Duration::from_secs(60)).unwrap_err();
        assert!(check(&error), "{what}: {error:?}");
    }
}

proptest! {
    /// A few bits outside of what is signed are read leniently, so some changed requests do pass.
    #[test]
    fn a_request_changed_on_the_way_certifies_nothing_else(at in 0usize..256, bit in 0u8..8) {
        static CA: LazyLock<(CertificateAuthority, KeyPair, SigningRequest)> = LazyLock::new(|| {
            let (key, request) = SigningRequest::generate(account("cart"), Duration::from_secs(60)).unwrap();
            (open(dir().path()).unwrap(), key, request)
        });
        let (ca, key, request) = &*CA;
        let mut csr = request.csr.der().to_vec();
        let at = at % csr.len();
        csr[at] ^= 1 << bit;
        if let Ok(chain) = ca.issue(&csr.into(), &account("cart"), request.lifetime) {
            WorkloadCertificate::new(&account("cart"), key, chain, SystemTime::now()).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_leaf_outlives_the_authority() {
    let dir = dir();
    let clock = Clock::tokio(SystemTime::now());
    let ca = open_ca(dir.path(), clock);
    let (_, request) = SigningRequest::generate(account("cart"), Duration::ZERO).unwrap();
    let hour = Duration::from_secs(3600);
    let issue = |lifetime| ca.issue(request.csr.der(), &account("cart"), lifetime);

    tokio::time::advance(Duration::from_secs(10 * 365 * 24 * 3600) - hour / 2).await;
    for lifetime in [hour, Duration::MAX] {
        let IssuedChain(chain) = issue(lifetime).unwrap();
        assert_eq!(crate::leaf::Leaf::parse(&chain[0]).unwrap().not_after, ca.not_after);
    }

    tokio::time::advance(hour).await;
    assert!(matches!(issue(hour), Err(IssueError::Expired)));
}
