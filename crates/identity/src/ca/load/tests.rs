use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};

use super::*;
use crate::fixture::{TRUST_DOMAIN, account};
use crate::source::{IssuedChain, SigningRequest};
use crate::{Clock, IssueError, NewRoot, NotTrusted, Roots};

fn params(name: &str, constraints: IsCa) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = constraints;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, name);
    params
}

fn unbounded(name: &str) -> CertificateParams {
    params(name, IsCa::Ca(BasicConstraints::Unconstrained))
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn open(chain: &str, key: &KeyPair) -> Result<CertificateAuthority, LoadError> {
    CertificateAuthority::from_pem(chain, &key.serialize_pem(), CaOptions::new(TRUST_DOMAIN))
}

fn roots(pem: &str) -> Roots {
    Roots::from_pem(pem.as_bytes()).unwrap()
}

fn issue(ca: &CertificateAuthority) -> Result<IssuedChain, IssueError> {
    let (_, request) = SigningRequest::generate(account("cart"), Duration::from_secs(60)).unwrap();
    ca.issue_pem(&request.csr.pem().unwrap(), &request.identity, request.lifetime)
}

/// A company's authority that certified one for this mesh.
struct Company {
    root: CertifiedIssuer<'static, KeyPair>,
    middle: Certificate,
    key: KeyPair,
}

impl Company {
    fn new() -> Self {
        Self::of(unbounded("middle"))
    }

    fn of(middle: CertificateParams) -> Self {
        let (root, key) = (CertifiedIssuer::self_signed(unbounded("root"), key()).unwrap(), key());
        Self { middle: middle.signed_by(&key, &root).unwrap(), root, key }
    }
}

#[test]
fn keys_of_every_kind_sign() {
    let ec = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    for key in [
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        ec(&PKCS_ECDSA_P256_SHA256),
        ec(&PKCS_ECDSA_P384_SHA384),
        ec(&PKCS_ECDSA_P521_SHA512),
        ec(&PKCS_ED25519),
    ] {
        let root = unbounded("root").self_signed(&key).unwrap().pem();
        let ca = open(&root, &key).unwrap();
        ca.check_trusted_by(&roots(&root)).unwrap();
        assert_eq!(issue(&ca).unwrap().0.len(), 1);
    }
}

#[test]
fn intermediates_are_sent_once_and_roots_never() {
    let Company { root, middle, key } = Company::new();
    let (root, middle) = (root.pem(), middle.pem());
    for chain in [
        middle.clone(),
        format!("{middle}{root}"),
        format!("{middle}{middle}{root}"),
        format!("# text between\n{middle}\n\n{root}{root}"),
    ] {
        let ca = open(&chain, &key).unwrap();
        ca.check_trusted_by(&roots(&root)).unwrap();
        let pems: Vec<_> = issue(&ca).unwrap().pems().collect();
        assert_eq!(pems.len(), 2);
        assert_eq!(roots(&pems[1]).certificates(), roots(&middle).certificates());
    }
}

#[test]
fn what_is_no_authority_is_refused() {
    let Company { root, middle, key } = Company::new();
    let (root, middle) = (root.pem(), middle.pem());
    let leaf = params("leaf", IsCa::ExplicitNoCa).self_signed(&key).unwrap().pem();
    let mut usage = unbounded("only encrypts");
    usage.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let usage = usage.self_signed(&key).unwrap().pem();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    type Check = fn(&LoadError) -> bool;
    let cases: [(&str, &str, Check); 7] = [
        ("the root first", &format!("{root}{middle}"), |error| matches!(error, LoadError::OtherKey)),
        ("a leaf", &leaf, |error| matches!(error, LoadError::NotAnAuthority)),
        ("may not sign", &usage, |error| matches!(error, LoadError::NotAnAuthority)),
        ("nothing", "", |error| matches!(error, LoadError::Empty)),
        ("no PEM", "hello", |error| matches!(error, LoadError::Empty)),
        ("half a PEM", &middle[..100], |error| matches!(error, LoadError::Pem(_))),
        ("no certificate", garbage, |error| matches!(error, LoadError::Malformed)),
    ];
    for (what, chain, check) in cases {
        let error = open(chain, &key).unwrap_err();
        assert!(check(&error), "{what}: {error:?}");
    }
    let options = CaOptions::new(TRUST_DOMAIN);
    for text in ["", "hello", middle.as_str()] {
        let error = CertificateAuthority::from_pem(&middle, text, options.clone()).unwrap_err();
        assert!(matches!(error, LoadError::Key(_)), "{error:?}");
    }
}

#[test]
fn an_authority_that_nobody_would_believe_is_found_out() {
    let good = Company::new();
    let stranger = Company::new();
    // An authority that allows none below it.
    let strict = params("strict", IsCa::Ca(BasicConstraints::Constrained(0)));
    let strict = CertifiedIssuer::signed_by(strict, key(), &good.root).unwrap();
    let below_key = key();
    let below = unbounded("below").signed_by(&below_key, &strict).unwrap();
    let below = format!("{}{}", below.pem(), strict.pem());
    let mut expired = unbounded("middle");
    expired.not_after = (SystemTime::now() - Duration::from_secs(60)).into();
    let expired = Company::of(expired);

    open(&good.middle.pem(), &good.key).unwrap().check_trusted_by(&roots(&good.root.pem())).unwrap();
    for (what, chain, key, root) in [
        ("another root", good.middle.pem(), &good.key, stranger.root.pem()),
        ("the intermediate for a root", stranger.middle.pem(), &stranger.key, good.middle.pem()),
        ("a path too long", below, &below_key, good.root.pem()),
        ("expired", expired.middle.pem(), &expired.key, expired.root.pem()),
    ] {
        let error = open(&chain, key).unwrap().check_trusted_by(&roots(&root)).expect_err(what);
        assert!(matches!(error, NotTrusted::Chain(_)), "{what}: {error:?}");
    }
}

#[test]
fn a_new_root_is_an_authority_of_its_own() {
    let options = CaOptions { clock: Clock::default(), ..CaOptions::new(TRUST_DOMAIN) };
    let (one, other) = (NewRoot::generate(&options).unwrap(), NewRoot::generate(&options).unwrap());
    let ca = CertificateAuthority::from_pem(&one.certificate, &one.key, options).unwrap();
    ca.check_trusted_by(&roots(&one.certificate)).unwrap();
    ca.check_trusted_by(&roots(&format!("{}{}", other.certificate, one.certificate))).unwrap();
    ca.check_trusted_by(&roots(&other.certificate)).unwrap_err();
}
