use std::collections::{BTreeMap, HashMap};

use ambit_identity::{CaOptions, NewRoot};
use ambit_xds::{AuthError, BoundPod, Caller};
use prometheus_client::registry::Registry;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P521_SHA512, SanType};
use tonic::Code;

use super::rights::Denial;
use super::*;

const DOMAIN: &str = "cluster.local";

/// Tokens are the names of callers; `down` is when the API server cannot be asked.
struct Names(HashMap<&'static str, Caller>);

impl Authenticator for Names {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        if token == "down" {
            return Err(AuthError::Unavailable { reason: String::new() });
        }
        self.0.get(token).cloned().ok_or(AuthError::Refused { reason: String::new() })
    }
}

/// A cluster: its node agents `ztunnel-1` on n1 and `ztunnel-2` on n2; `cart` on n1; `till` on both.
struct Cluster;

impl NodeIdentities for Cluster {
    fn node_of_pod(&self, namespace: &str, name: &str, uid: &str) -> Option<Arc<str>> {
        match (namespace, name, uid) {
            ("ambit-system", "ztunnel-1", "u1") => Some("n1".into()),
            ("ambit-system", "ztunnel-2", "u2") => Some("n2".into()),
            _ => None,
        }
    }

    fn runs_on(&self, node: &str, identity: &Identity) -> bool {
        matches!((node, identity.namespace(), identity.service_account()), ("n1", "shop", "cart") | (_, "shop", "till"))
    }
}

fn account(name: &str) -> Identity {
    Identity::new(DOMAIN, "shop", name)
}

fn caller_of(namespace: &str, account: &str, pod: Option<(&str, &str)>, node: Option<&str>) -> Caller {
    Caller {
        namespace: namespace.to_owned(),
        service_account: account.to_owned(),
        pod: pod.map(|(name, uid)| BoundPod { name: name.to_owned(), uid: uid.to_owned() }),
        node: node.map(str::to_owned),
        waypoint: None,
    }
}

fn agent(pod: Option<(&str, &str)>, node: Option<&str>) -> Caller {
    caller_of("ambit-system", "ztunnel", pod, node)
}

fn rights() -> Rights {
    let node_accounts = vec![ServiceAccountName { namespace: "ambit-system".to_owned(), name: "ztunnel".to_owned() }];
    Rights { trust_domain: DOMAIN.into(), node_accounts, pods: Arc::new(Cluster) }
}

#[test]
fn who_may_have_whose() {
    let one = agent(Some(("ztunnel-1", "u1")), Some("n1"));
    let two = agent(Some(("ztunnel-2", "u2")), Some("n2"));
    let cart = caller_of("shop", "cart", Some(("cart-x", "u3")), Some("n1"));
    let own = Identity::new(DOMAIN, "ambit-system", "ztunnel");
    let allowed = Ok::<_, Denial>;
    for (what, caller, asked, expected) in [
        ("an agent, a pod of its node", one.clone(), Some(account("cart")), allowed(account("cart"))),
        (
            "an agent whose token names no node",
            agent(Some(("ztunnel-1", "u1")), None),
            Some(account("cart")),
            allowed(account("cart")),
        ),
        ("a pod of both nodes", two.clone(), Some(account("till")), allowed(account("till"))),
        ("an agent, itself", one.clone(), Some(own.clone()), allowed(own.clone())),
        ("an agent that names nobody", one.clone(), None, allowed(own)),
        ("a pod, itself", cart.clone(), None, allowed(account("cart"))),
        ("a pod, itself by name", cart.clone(), Some(account("cart")), allowed(account("cart"))),
        ("a token stolen from another node", two.clone(), Some(account("cart")), Err(Denial::NotOnNode)),
        ("a pod that has ended or never was", one.clone(), Some(account("bank")), Err(Denial::NotOnNode)),
        ("a pod that asks for its neighbour", cart, Some(account("till")), Err(Denial::NotANodeAgent)),
        (
            "an account of the agent's name elsewhere",
            caller_of("shop", "ztunnel", Some(("ztunnel-1", "u1")), Some("n1")),
            Some(account("cart")),
            Err(Denial::NotANodeAgent),
        ),
        (
            "another account of the agent's namespace",
            caller_of("ambit-system", "other", Some(("ztunnel-1", "u1")), Some("n1")),
            Some(account("cart")),
            Err(Denial::NotANodeAgent),
        ),
        ("another mesh", one, Some(Identity::new("other", "shop", "cart")), Err(Denial::TrustDomain)),
        ("a token of no pod", agent(None, Some("n1")), Some(account("cart")), Err(Denial::NotBound)),
        (
            "the token of a pod that was replaced",
            agent(Some(("ztunnel-1", "u0")), Some("n1")),
            Some(account("cart")),
            Err(Denial::NoSuchPod),
        ),
        (
            "the token of a pod that is gone",
            agent(Some(("ztunnel-0", "u1")), Some("n1")),
            Some(account("cart")),
            Err(Denial::NoSuchPod),
        ),
        (
            "a token of another node than its pod",
            agent(Some(("ztunnel-1", "u1")), Some("n2")),
            Some(account("cart")),
            Err(Denial::OtherNode),
        ),
    ] {
        assert_eq!(rights().identity(&caller, asked.as_ref()), expected, "{what}");
    }
}

struct Service {
    service: Certificates<Names>,
    roots: Arc<Roots>,
    registry: Registry,
}

impl Service {
    fn new() -> Self {
        let options = CaOptions::new(DOMAIN);
        let [root, other] = [(), ()].map(|()| NewRoot::generate(&options).unwrap());
        let signer = Arc::new(CertificateAuthority::from_pem(&root.certificate, &root.key, options).unwrap());
        let roots = format!("{}{}", other.certificate, root.certificate);
        let roots = Arc::new(Roots::from_pem(roots.as_bytes()).unwrap());
        let names = Names(HashMap::from([
            ("ztunnel-1", agent(Some(("ztunnel-1", "u1")), Some("n1"))),
            ("cart", caller_of("shop", "cart", Some(("cart-x", "u3")), Some("n1"))),
        ]));
        let mut registry = Registry::default();
        let options = CertificateOptions {
            trust_domain: DOMAIN.into(),
            longest: Duration::from_secs(3600),
            node_accounts: rights().node_accounts,
            counters: CertificateCounters::register(&mut registry),
        };
        let (signer, published) = (watch::channel(signer).1, watch::channel(Arc::clone(&roots)).1);
        let service = Certificates::new(Arc::new(names), signer, published, Arc::new(Cluster), options);
        Self { service, roots, registry }
    }

    async fn ask(&self, token: &str, request: IstioCertificateRequest) -> Result<Vec<String>, Status> {
        let mut request = Request::new(request);
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        self.service.create_certificate(request).await.map(|response| response.into_inner().cert_chain)
    }

    fn counted(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().any(|each| each == line)
    }
}

fn csr(names: &[&str]) -> String {
    csr_with(names, &KeyPair::generate().unwrap())
}

fn csr_with(names: &[&str], key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn request(csr: String, whose: Option<Kind>) -> IstioCertificateRequest {
    let fields = whose.map(|kind| (IMPERSONATED.to_owned(), Value { kind: Some(kind) }));
    let metadata = Some(Struct { fields: BTreeMap::from_iter(fields) });
    IstioCertificateRequest { csr, validity_duration: 86_400, metadata }
}

fn for_whom(identity: &Identity) -> Option<Kind> {
    Some(Kind::StringValue(identity.to_string()))
}

#[tokio::test]
async fn the_answer_is_leaf_issuers_roots() {
    let service = Service::new();
    let cart = account("cart");
    for (token, csr, whose) in [
        ("ztunnel-1", csr(&[&cart.to_string()]), for_whom(&cart)),
        ("ztunnel-1", csr(&[]), for_whom(&cart)),
        ("cart", csr(&[&cart.to_string()]), None),
    ] {
        let chain = service.ask(token, request(csr, whose)).await.unwrap();
        let [leaf, roots] = &chain[..] else { panic!("{chain:?}") };
        assert_eq!(leaf.matches("BEGIN CERTIFICATE").count(), 1);
        assert_eq!(*roots, service.roots.to_pem());
        assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 2);
    }
    assert!(service.counted("certificates_issued_total 3"));
}

#[tokio::test]
async fn what_is_refused_is_refused_with_its_code_and_counted() {
    let service = Service::new();
    let (cart, bank) = (account("cart"), account("bank"));
    let good = csr(&[&cart.to_string()]);
    let mine = || for_whom(&cart);
    let p521 = csr_with(&[&cart.to_string()], &KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap());
    for (what, token, csr, whose, code, reason) in [
        ("no token", "", good.clone(), mine(), Code::Unauthenticated, "unauthenticated"),
        ("a bad token", "somebody", good.clone(), mine(), Code::Unauthenticated, "unauthenticated"),
        ("nobody to ask", "down", good.clone(), mine(), Code::Unavailable, "tokens_unavailable"),
        ("not there", "ztunnel-1", csr(&[]), for_whom(&bank), Code::PermissionDenied, "not_on_node"),
        ("not an agent", "cart", csr(&[]), for_whom(&account("till")), Code::PermissionDenied, "not_a_node_agent"),
        (
            "no identity",
            "ztunnel-1",
            good.clone(),
            Some(Kind::StringValue("cart".to_owned())),
            Code::InvalidArgument,
            "bad_request",
        ),
        ("a number", "ztunnel-1", good.clone(), Some(Kind::NumberValue(1.0)), Code::InvalidArgument, "bad_request"),
        (
            "empty",
            "ztunnel-1",
            good.clone(),
            Some(Kind::StringValue(String::new())),
            Code::InvalidArgument,
            "bad_request",
        ),
        ("another name", "ztunnel-1", csr(&[&bank.to_string()]), mine(), Code::InvalidArgument, "bad_request"),
        ("another key", "ztunnel-1", p521, mine(), Code::InvalidArgument, "bad_request"),
        ("no request", "ztunnel-1", String::new(), mine(), Code::InvalidArgument, "bad_request"),
        (
            "garbage",
            "ztunnel-1",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_owned(),
            mine(),
            Code::InvalidArgument,
            "bad_request",
        ),
        ("too long", "ztunnel-1", good.repeat(100), mine(), Code::InvalidArgument, "bad_request"),
    ] {
        let status = service.ask(token, request(csr, whose)).await.expect_err(what);
        assert_eq!(status.code(), code, "{what}: {status:?}");
        let label = format!("certificates_refused_total{{reason=\"{reason}\"}} ");
        assert!((1..9).any(|count| service.counted(&format!("{label}{count}"))), "{what}");
    }
    assert!(service.counted("certificates_issued_total 0"));
}

#[test]
fn lifetimes_are_bounded() {
    let service = Service::new().service;
    for (asked, given) in
        [(60, 60), (3600, 3600), (86_400, 3600), (i64::MAX, 3600), (0, 3600), (-1, 3600), (i64::MIN, 3600)]
    {
        assert_eq!(service.lifetime(asked), Duration::from_secs(given), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_sent_away() {
    let service = Service::new();
    let _all = service.service.signing.acquire_many(u32::try_from(MAX_SIGNING).unwrap()).await.unwrap();
    let status = service.ask("cart", request(csr(&[]), None)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}
