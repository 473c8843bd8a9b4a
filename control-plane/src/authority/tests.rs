use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use ambit_identity::NewRoot;
use ambit_runtime::Readiness;
use futures::FutureExt;
use http::{Method, StatusCode};
use k8s_openapi::ByteString;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::rotation::HEAD_START;
use super::source::{Change, OWN, PLUGGED_IN, SourceError, find_or_create};
use super::*;
use crate::fake_api::{self, Asked};

const DOMAIN: &str = "cluster.local";

/// The parts of a Secret.
#[derive(Clone)]
struct Pair {
    certificate: String,
    key: String,
    chain: Option<String>,
    root: String,
}

impl Pair {
    fn self_signed() -> Self {
        let NewRoot { certificate, key } = NewRoot::generate(&CaOptions::new(DOMAIN)).unwrap();
        Self { root: certificate.clone(), certificate, key, chain: None }
    }

    /// An RSA intermediate of a company's root.
    fn intermediate() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let root = CertifiedIssuer::self_signed(params("root"), KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let middle = params("middle").signed_by(&key, &root).unwrap();
        let chain = Some(format!("{}{}", middle.pem(), root.pem()));
        Self { certificate: middle.pem(), key: key.serialize_pem(), chain, root: root.pem() }
    }

    fn secret(&self, roots: &[&Pair]) -> Secret {
        let roots: String = roots.iter().map(|pair| pair.root.as_str()).collect();
        let mut data = BTreeMap::from([
            ("ca-cert.pem".to_owned(), self.certificate.clone()),
            ("ca-key.pem".to_owned(), self.key.clone()),
            ("root-cert.pem".to_owned(), roots),
        ]);
        data.extend(self.chain.clone().map(|chain| ("cert-chain.pem".to_owned(), chain)));
        let data = data.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.root.as_bytes()).unwrap()
    }
}

fn with(mut secret: Secret, key: &str, text: Option<&[u8]>) -> Secret {
    let data = secret.data.as_mut().unwrap();
    match text {
        Some(text) => drop(data.insert(key.to_owned(), ByteString(text.to_vec()))),
        None => drop(data.remove(key).unwrap()),
    }
    secret
}

/// The Secrets of a namespace, behind the real client.
#[derive(Clone, Default)]
struct Store {
    secrets: Arc<Mutex<HashMap<String, Secret>>>,
    /// So many who look see nothing, whatever there is: they looked before.
    blind: Arc<Mutex<usize>>,
}

impl Store {
    fn of(secrets: &[(&str, Secret)]) -> Self {
        let store = Self::default();
        for (name, secret) in secrets {
            store.put(name, secret.clone());
        }
        store
    }

    fn put(&self, name: &str, mut secret: Secret) {
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.resource_version = Some("1".to_owned());
        for (key, text) in secret.string_data.take().unwrap_or_default() {
            secret.data.get_or_insert_default().insert(key, ByteString(text.into_bytes()));
        }
        self.secrets.lock().unwrap().insert(name.to_owned(), secret);
    }

    fn names(&self) -> Vec<String> {
        self.secrets.lock().unwrap().keys().cloned().collect()
    }

    fn answer(&self, asked: &Asked) -> fake_api::Answer {
        let (place, name) = asked.path.split_at("/api/v1/namespaces/ambit-system/secrets".len());
        assert_eq!(place, "/api/v1/namespaces/ambit-system/secrets");
        let name = match asked.method {
            Method::GET => name.strip_prefix('/').unwrap(),
            Method::POST => asked.body["metadata"]["name"].as_str().unwrap(),
            _ => panic!("{asked:?}"),
        };
        let mut blind = self.blind.lock().unwrap();
        if asked.method == Method::POST {
            if self.secrets.lock().unwrap().contains_key(name) {
                return Err((StatusCode::CONFLICT, "AlreadyExists"));
            }
            self.put(name, serde_json::from_value(asked.body.clone()).unwrap());
        } else if name == OWN && *blind > 0 {
            *blind -= 1;
            return Err((StatusCode::NOT_FOUND, "NotFound"));
        }
        let secret = self.secrets.lock().unwrap().get(name).cloned();
        secret.map(|secret| serde_json::to_value(secret).unwrap()).ok_or((StatusCode::NOT_FOUND, "NotFound"))
    }

    fn client(&self) -> Client {
        let store = self.clone();
        fake_api::client(move |asked| {
            let answer = store.answer(&asked);
            async { answer }.boxed()
        })
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client(), "ambit-system")
    }

    async fn open(&self) -> Authority {
        let condition = Readiness::default().condition("authority");
        let options = CaOptions::new(DOMAIN);
        open(self.client(), "ambit-system", options, condition, AuthorityGauges::default()).await
    }
}

/// An authority that follows what it is told.
struct Followed {
    authority: Authority,
    changes: mpsc::Sender<Change>,
    version: u64,
}

impl Followed {
    async fn of(secrets: &[(&str, Secret)]) -> Self {
        let authority = Store::of(secrets).open().await;
        let (changes, queue) = mpsc::channel(1);
        let followed = authority.clone();
        tokio::spawn(async move { Rotation::new(&followed.0).follow(ReceiverStream::new(queue)).await });
        Self { authority, changes, version: 1 }
    }

    /// Tells of a change, and lets it be done.
    async fn tell(&mut self, name: &'static str, secret: Option<Secret>) {
        self.version += 1;
        let secret = secret.map(|mut secret| {
            secret.metadata.resource_version = Some(self.version.to_string());
            secret
        });
        self.changes.send(Change { name, secret }).await.ok().unwrap();
        // The queue holds one: when another fits, the first has been taken; and then it is done at once.
        drop(self.changes.reserve().await.unwrap());
        tokio::task::yield_now().await;
    }

    fn is_broken(&self) -> bool {
        self.authority.0.gauges.is_broken()
    }

    fn signs_with(&self, pair: &Pair) -> bool {
        self.authority.signer().borrow().check_trusted_by(&pair.roots()).is_ok()
    }

    fn trusts(&self, pairs: &[&Pair]) -> bool {
        let wanted: Vec<_> = pairs.iter().flat_map(|pair| pair.roots().certificates().to_vec()).collect();
        self.authority.roots().borrow().certificates() == wanted
    }
}

#[tokio::test]
async fn the_layouts_of_the_field_are_read() {
    let (own, plugged) = (Pair::self_signed(), Pair::intermediate());
    let other = Pair::self_signed();
    let without_chain = Pair { chain: None, ..plugged.clone() };
    let root_in_chain_only = Pair { chain: Some(plugged.root.clone()), ..plugged.clone() };
    for (what, secret, issuers) in [
        ("self-signed", own.secret(&[&own]), 0),
        ("an empty chain", with(own.secret(&[&own]), "cert-chain.pem", Some(b"")), 0),
        ("several roots", own.secret(&[&other, &own]), 0),
        ("an intermediate", plugged.secret(&[&plugged]), 1),
        ("no chain", without_chain.secret(&[&plugged]), 1),
        ("a chain without the signing certificate", root_in_chain_only.secret(&[&plugged]), 1),
    ] {
        let material = secret::read(&secret, &CaOptions::new(DOMAIN)).expect(what);
        let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let cart = ambit_model::Identity::new(DOMAIN, "shop", "cart");
        let chain = material.signer.issue_pem(&csr.pem().unwrap(), &cart, Duration::from_secs(60)).unwrap();
        assert_eq!(chain.0.len(), 1 + issuers, "{what}");
    }
}

#[test]
fn a_broken_secret_is_no_authority() {
    use secret::SecretError;

    let (own, other, plugged) = (Pair::self_signed(), Pair::self_signed(), Pair::intermediate());
    let good = own.secret(&[&own]);
    type Check = fn(&SecretError) -> bool;
    let cases: [(&str, Secret, Check); 8] = [
        ("nothing", Secret::default(), |error| matches!(error, SecretError::Missing(_))),
        ("no key", with(good.clone(), "ca-key.pem", None), |error| matches!(error, SecretError::Missing("ca-key.pem"))),
        ("no roots", with(good.clone(), "root-cert.pem", None), |error| matches!(error, SecretError::Missing(_))),
        ("binary", with(good.clone(), "ca-cert.pem", Some(b"\xff")), |error| matches!(error, SecretError::NotText(_))),
        ("empty roots", with(good.clone(), "root-cert.pem", Some(b"")), |error| matches!(error, SecretError::Roots(_))),
        ("another key", with(good.clone(), "ca-key.pem", Some(other.key.as_bytes())), |error| {
            matches!(error, SecretError::Authority(_))
        }),
        ("another root", own.secret(&[&other]), |error| matches!(error, SecretError::NotTrusted(_))),
        ("the company's root is not there", plugged.secret(&[&own]), |error| {
            matches!(error, SecretError::NotTrusted(_))
        }),
    ];
    for (what, secret, check) in cases {
        let error = secret::read(&secret, &CaOptions::new(DOMAIN)).err().expect(what);
        assert!(check(&error), "{what}: {error:?}");
        assert!(!error_chain(&error).contains("PRIVATE KEY"));
    }
}

#[tokio::test]
async fn whoever_plugs_in_an_authority_is_obeyed() {
    let (own, plugged) = (Pair::self_signed(), Pair::intermediate());
    let options = CaOptions::new(DOMAIN);
    for (secrets, expected) in [
        (vec![(OWN, own.secret(&[&own])), (PLUGGED_IN, plugged.secret(&[&plugged]))], PLUGGED_IN),
        (vec![(PLUGGED_IN, plugged.secret(&[&plugged]))], PLUGGED_IN),
        (vec![(OWN, own.secret(&[&own]))], OWN),
        (vec![], OWN),
    ] {
        let store = Store::of(&secrets);
        let (found, _) = find_or_create(&store.api(), &options).await.unwrap();
        assert_eq!(found.name, expected);
        assert!(store.names().contains(&expected.to_owned()));
        assert_eq!(store.names().len(), secrets.len().max(1), "nothing is made that is not needed");
    }
}

#[tokio::test]
async fn a_broken_authority_is_not_replaced_by_another() {
    let own = Pair::self_signed();
    for (name, secret) in [(PLUGGED_IN, Secret::default()), (OWN, with(own.secret(&[&own]), "ca-key.pem", None))] {
        let store = Store::of(&[(name, secret)]);
        let error = find_or_create(&store.api(), &CaOptions::new(DOMAIN)).await.err().unwrap();
        assert!(matches!(error, SourceError::Secret { name: broken, .. } if broken == name), "{error:?}");
        assert_eq!(store.names(), [name]);
    }
}

#[tokio::test]
async fn all_who_make_it_at_once_get_the_same() {
    let store = Store::default();
    *store.blind.lock().unwrap() = 3;
    let (api, options) = (store.api(), CaOptions::new(DOMAIN));
    let make = || find_or_create(&api, &options);
    let (one, two, three) = tokio::join!(make(), make(), make());
    let materials = [one, two, three].map(|made| made.unwrap().1);
    let [first, ..] = &materials;
    for material in &materials {
        material.signer.check_trusted_by(&first.roots).unwrap();
        assert_eq!(material.roots.certificates(), first.roots.certificates());
    }
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_api_server_and_says_so() {
    let store = Store::default();
    let down = Arc::new(Mutex::new(true));
    let (answers, is_down) = (store.clone(), Arc::clone(&down));
    let client = fake_api::client(move |asked| {
        let down = *is_down.lock().unwrap();
        let answer = if down { Err((StatusCode::FORBIDDEN, "Forbidden")) } else { answers.answer(&asked) };
        async { answer }.boxed()
    });
    let readiness = Readiness::default();
    let condition = readiness.condition("authority");
    let opened = tokio::spawn(async move {
        open(client, "ambit-system", CaOptions::new(DOMAIN), condition, AuthorityGauges::default()).await
    });
    let reason = async {
        while !readiness.check().unwrap_err()[0].contains("Forbidden") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reason).await.unwrap();
    *down.lock().unwrap() = false;
    let _authority = opened.await.unwrap();
    readiness.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_three_steps_of_a_rotation_are_followed_live() {
    let (old, new) = (Pair::self_signed(), Pair::intermediate());
    let mut followed = Followed::of(&[(OWN, old.secret(&[&old]))]).await;
    assert!(followed.signs_with(&old) && followed.trusts(&[&old]));

    followed.tell(OWN, Some(old.secret(&[&old, &new]))).await;
    assert!(followed.signs_with(&old) && followed.trusts(&[&old, &new]));
    tokio::time::sleep(2 * HEAD_START).await;

    followed.tell(OWN, Some(new.secret(&[&old, &new]))).await;
    assert!(followed.signs_with(&new) && followed.trusts(&[&old, &new]));

    followed.tell(OWN, Some(new.secret(&[&new]))).await;
    assert!(followed.signs_with(&new) && followed.trusts(&[&new]));
    assert!(!followed.is_broken());
}

#[tokio::test(start_paused = true)]
async fn roots_go_ahead_of_whom_they_lead_to() {
    let (old, new) = (Pair::self_signed(), Pair::self_signed());
    let mut followed = Followed::of(&[(OWN, old.secret(&[&old]))]).await;
    let mut signer = followed.authority.signer();
    followed.tell(OWN, Some(new.secret(&[&new, &old]))).await;
    assert!(followed.trusts(&[&new, &old]) && followed.signs_with(&old));

    // A change of something else does not cut the wait short.
    followed.tell(OWN, Some(new.secret(&[&new, &old]))).await;
    assert!(followed.signs_with(&old));
    signer.mark_unchanged();
    tokio::time::timeout(2 * HEAD_START, signer.changed()).await.unwrap().unwrap();
    assert!(followed.signs_with(&new));

    // Who changes his mind in time has lost nothing.
    let third = Pair::self_signed();
    followed.tell(OWN, Some(third.secret(&[&new, &old, &third]))).await;
    followed.tell(OWN, Some(new.secret(&[&new, &old]))).await;
    tokio::time::sleep(2 * HEAD_START).await;
    assert!(followed.signs_with(&new) && followed.trusts(&[&new, &old]));
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_no_longer_believed_stops_signing_at_once() {
    let (stolen, new) = (Pair::self_signed(), Pair::self_signed());
    let mut followed = Followed::of(&[(OWN, stolen.secret(&[&stolen]))]).await;
    followed.tell(OWN, Some(new.secret(&[&new]))).await;
    assert!(followed.signs_with(&new) && followed.trusts(&[&new]));
}

#[tokio::test(start_paused = true)]
async fn what_was_good_stays_in_force() {
    let (own, plugged) = (Pair::self_signed(), Pair::intermediate());
    let broken = with(own.secret(&[&own]), "ca-key.pem", Some(b"oops"));
    let mut followed = Followed::of(&[(OWN, own.secret(&[&own]))]).await;
    for (name, secret) in
        [(OWN, Some(broken.clone())), (OWN, Some(own.secret(&[&plugged]))), (OWN, Some(Secret::default())), (OWN, None)]
    {
        followed.tell(name, secret).await;
        assert!(followed.is_broken());
        assert!(followed.signs_with(&own) && followed.trusts(&[&own]));
    }
    followed.tell(OWN, Some(own.secret(&[&own]))).await;
    assert!(!followed.is_broken());

    // A broken authority that is plugged in, then removed.
    followed.tell(PLUGGED_IN, Some(broken)).await;
    assert!(followed.is_broken() && followed.signs_with(&own));
    followed.tell(OWN, Some(own.secret(&[&own]))).await;
    assert!(followed.is_broken(), "the other Secret is still broken");
    followed.tell(PLUGGED_IN, None).await;
    assert!(!followed.is_broken());

    // One that is good takes over, and ours is no longer followed.
    followed.tell(PLUGGED_IN, Some(plugged.secret(&[&own, &plugged]))).await;
    assert!(followed.signs_with(&own) && followed.trusts(&[&own, &plugged]));
    tokio::time::sleep(2 * HEAD_START).await;
    assert!(followed.signs_with(&plugged));
    followed.tell(OWN, Some(own.secret(&[&own]))).await;
    followed.tell(OWN, None).await;
    assert!(followed.signs_with(&plugged) && !followed.is_broken());
    followed.tell(PLUGGED_IN, None).await;
    assert!(followed.signs_with(&plugged) && followed.is_broken());
}
