use std::sync::Mutex;

use rcgen::{CertificateSigningRequestParams, KeyPair};
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::ca::CertificateAuthority;
use crate::certificate::ChainError;
use crate::fixture::{Mesh, account, open_ca, store, until};
use crate::source::{FetchFuture, IssuedChain, SigningRequest};
use crate::{LeafTemplate, dump};

/// An authority that counts, and does as told.
struct Scripted {
    ca: CertificateAuthority,
    _dir: TempDir,
    fetches: Mutex<Vec<Instant>>,
    mood: Mutex<Mood>,
}

#[derive(Clone, Copy)]
enum Mood {
    Good,
    Down,
    Silent,
    /// Certifies a key of its own.
    OtherKey,
    /// Certifies somebody else.
    OtherName,
    /// Certifies for the past.
    Late,
}

impl Scripted {
    fn new(mood: Mood) -> (Arc<Self>, CertificateStore) {
        let clock = Clock::tokio(SystemTime::now());
        let dir = TempDir::new().unwrap();
        let ca = open_ca(dir.path(), clock);
        let source = Arc::new(Self { ca, _dir: dir, fetches: Mutex::default(), mood: Mutex::new(mood) });
        (Arc::clone(&source), store(source, clock))
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn fetches(&self) -> usize {
        self.fetches.lock().unwrap().len()
    }

    fn sign(&self, request: &SigningRequest, template: &LeafTemplate) -> Result<IssuedChain, FetchError> {
        let csr = CertificateSigningRequestParams::from_der(request.csr.der())?;
        Ok(self.ca.sign(&csr.public_key, template)?)
    }
}

impl CertificateSource for Scripted {
    fn fetch<'a>(&'a self, request: &'a SigningRequest) -> FetchFuture<'a> {
        self.fetches.lock().unwrap().push(Instant::now());
        let mood = *self.mood.lock().unwrap();
        let now = SystemTime::now();
        let (hour, own_key) = (Duration::from_secs(3600), KeyPair::generate().unwrap());
        let uris = vec![request.identity.to_string()];
        let template = LeafTemplate { uris, dns_names: Vec::new(), not_before: now - hour, not_after: now + hour };
        Box::pin(async move {
            match mood {
                Mood::Good => self.ca.fetch(request).await,
                Mood::Down => Err(FetchError::Remote("down".into())),
                Mood::Silent => std::future::pending().await,
                Mood::OtherKey => Ok(self.ca.sign(&own_key, &template)?),
                Mood::OtherName => {
                    self.sign(request, &LeafTemplate { uris: vec![account("mallory").to_string()], ..template })
                }
                Mood::Late => self.sign(request, &LeafTemplate { not_after: now - hour / 2, ..template }),
            }
        })
    }
}

fn failure(result: Result<Arc<WorkloadCertificate>, CertificateUnavailable>) -> Arc<FetchError> {
    match result {
        Err(CertificateUnavailable::Failed { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_cause_one_request() {
    let (source, store) = Scripted::new(Mood::Good);
    let cart = account("cart");
    assert!(store.current(&cart).is_none());
    let (a, b, c) = tokio::join!(store.certificate(&cart), store.certificate(&cart), store.certificate(&cart));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c));
    assert!(Arc::ptr_eq(&a, &store.current(&cart).unwrap()));
    store.certificate(&account("till")).await.unwrap();
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn renewed_at_half_life() {
    let (source, store) = Scripted::new(Mood::Good);
    let cart = account("cart");
    let first = store.certificate(&cart).await.unwrap();
    until(|| source.fetches() == 2).await;
    until(|| store.current(&cart).unwrap().serial() != first.serial()).await;
    let waited = source.fetches.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).next().unwrap();
    let hours = waited.as_secs_f64() / 3600.0;
    assert!((10.8..=12.1).contains(&hours), "after {hours} h");
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_an_expired_certificate_is_never_given() {
    let (source, store) = Scripted::new(Mood::Good);
    let cart = account("cart");
    let first = store.certificate(&cart).await.unwrap();
    source.set(Mood::Down);
    until(|| source.fetches() > 9).await;
    assert_eq!(store.current(&cart).unwrap().serial(), first.serial(), "the old one is good for as long as it lasts");
    let times = source.fetches.lock().unwrap()[1..].to_vec();
    let pauses: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 150][..pauses.len()]);

    until(|| store.clock().now() >= first.not_after()).await;
    assert!(store.current(&cart).is_none());
    assert!(matches!(*failure(store.certificate(&cart).await), FetchError::Remote(_)));

    source.set(Mood::Good);
    until(|| store.current(&cart).is_some()).await;
    store.certificate(&cart).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_none_asks_again_soon() {
    let (source, store) = Scripted::new(Mood::Down);
    failure(store.certificate(&account("cart")).await);
    until(|| source.fetches() > 6).await;
    let times = source.fetches.lock().unwrap().clone();
    let pauses: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses[..6], [1, 2, 4, 8, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn what_the_authority_sends_is_checked() {
    type Check = fn(&FetchError) -> bool;
    let cases: [(Mood, Check); 5] = [
        (Mood::Down, |error| matches!(error, FetchError::Remote(_))),
        (Mood::Silent, |error| matches!(error, FetchError::TimedOut(_))),
        (Mood::OtherKey, |error| matches!(error, FetchError::Chain(ChainError::Key(_)))),
        (Mood::OtherName, |error| matches!(error, FetchError::Chain(ChainError::Identity { .. }))),
        (Mood::Late, |error| matches!(error, FetchError::Chain(ChainError::Expired))),
    ];
    for (mood, check) in cases {
        let (_source, store) = Scripted::new(mood);
        let error = failure(store.certificate(&account("cart")).await);
        assert!(check(&error), "{error:?}");
        assert!(store.current(&account("cart")).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_forgotten_are_not_renewed() {
    let (source, store) = Scripted::new(Mood::Good);
    store.certificate(&account("cart")).await.unwrap();
    store.certificate(&account("till")).await.unwrap();
    store.retain(|identity| *identity == account("till"));
    assert!(store.current(&account("cart")).is_none());
    until(|| source.fetches() >= 4).await;
    assert_eq!(store.states().len(), 1);

    source.set(Mood::Silent);
    let waiting = account("late");
    let (result, ()) = tokio::join!(store.certificate(&waiting), async { store.retain(|_| false) });
    assert!(matches!(result, Err(CertificateUnavailable::Forgotten { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_dump_shows_everything_but_keys() {
    let mesh = Mesh::new();
    let certificate = mesh.store.certificate(&account("cart")).await.unwrap();
    let shown = dump(&mesh.store, &mesh.bundle);
    assert_eq!(shown["certificates"][0]["identity"], "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!(shown["certificates"][0]["state"], "valid");
    assert_eq!(shown["certificates"][0]["serial"], certificate.serial());
    assert!(shown["roots"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(!shown.to_string().contains("PRIVATE"));
}
