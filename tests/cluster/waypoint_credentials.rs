//! Credentials of waypoints: Secrets that DestinationRules name, from the API server to the TLS of the upstream.

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

use ambit_tests::cluster::{App, Load, Namespace, PATIENCE, Pod, client, object, service};
use ambit_tests::until;

use crate::mesh;
use crate::waypoints::{bind, deploy_as, status};

/// The name in the servers' certificates.
const SERVER: &str = "web.internal";
/// The Secret that rules name.
const SECRET: &str = "upstream";

/// An authority of the test's own.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The entries of a TLS Secret for a name; who has it believes this authority.
    fn certify(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<Value> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(json!({"tls.crt": certificate, "tls.key": key.serialize_pem(), "ca.crt": self.certificate}))
    }

    fn client(&self, name: &str) -> Result<Value> {
        self.certify(name, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

fn secret(name: &str, entries: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries}).to_string()
}

/// A server of HTTPS with the Secret of its name, and a client; the namespace is behind a waypoint that does what the
/// rule says.
struct Shop {
    shop: Namespace,
    client: Pod,
    authority: Authority,
}

impl Shop {
    fn open(name: &str, mode: &str) -> Result<Self> {
        let (shop, authority) = (Namespace::meshed(name)?, Authority::new("shop")?);
        shop.apply(&secret("web", &authority.certify(SERVER, ExtendedKeyUsagePurpose::ServerAuth)?))?;
        let mutual = if mode == "MUTUAL" { "-mtls" } else { "" };
        let serve = "exec fortio server -http-port 8080 -redirect-port disabled -cert /tls/tls.crt -key /tls/tls.key \
                     -cacert /tls/ca.crt";
        let web = App::script("web", &format!("{serve} {mutual}"))
            .on(2)
            .container("volumeMounts: [{name: tls, mountPath: /tls}]")
            .spec("volumes: [{name: tls, secret: {secretName: web}}]");
        let manifests = [client("client", 1), web.pod() + &service("web", "")];
        let pods = shop.start(&manifests, ["client", "web"])?;
        pods.iter().try_for_each(|pod| pod.wait_enrolled(true))?;
        let [client, _] = pods;
        deploy_as(&shop, "waypoint")?;
        bind(&shop)?;
        shop.apply(&format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: web}}\nspec:\n  \
             host: web\n  trafficPolicy:\n    \
             tls: {{mode: {mode}, credentialName: {SECRET}, sni: {SERVER}, subjectAltNames: [{SERVER}]}}\n"
        ))?;
        Ok(Self { shop, client, authority })
    }

    fn hand_over(&self, entries: &Value) -> Result<()> {
        self.shop.apply(&secret(SECRET, entries))
    }

    /// Waits until what the server says of its client's TLS has this in it.
    fn wait_seen(&self, wanted: &str) -> Result<()> {
        let answer = || self.client.ask("http://web/debug");
        until(&format!("{wanted:?} at the server"), PATIENCE, || answer().ok()?.contains(wanted).then_some(()))
            .with_context(|| format!("{:?}", answer()))
    }

    /// Waits until the waypoint answers in the server's place.
    fn wait_unavailable(&self) -> Result<()> {
        until("503 of the waypoint", PATIENCE, || {
            status(&self.client, "http://web/debug").ok()?.starts_with("503").then_some(())
        })
        .with_context(|| format!("{:?}", status(&self.client, "http://web/debug")))
    }
}

/// A shop whose Secrets may be read; until the end of the test. The right is in its namespace, so that comes first.
fn reading(namespace: &str, mode: &str, test: impl FnOnce(&Shop) -> Result<()>) -> Result<Shop> {
    mesh::with_gateway_api()?;
    let shop = Shop::open(namespace, mode)?;
    mesh::install(&[&format!("waypoint.credentialNamespaces={{{namespace}}}")])?;
    let tested = test(&shop);
    mesh::install(&[])?;
    tested.map(|()| shop)
}

#[test]
fn a_waypoint_believes_the_authorities_of_a_secret() -> Result<()> {
    let tested = reading("credentials-simple", "SIMPLE", |shop| {
        shop.wait_unavailable()?;
        let rule = || object(&["--namespace", shop.shop.name(), "destinationrule", "web"]);
        let reason = |rule: &Value| rule.pointer("/status/conditions/0/reason").cloned().unwrap_or_default();
        until("a warning in the status", PATIENCE, || (reason(&rule().ok()?) == "AcceptedWithWarnings").then_some(()))?;
        shop.hand_over(&json!({"ca.crt": shop.authority.certificate}))?;
        shop.wait_seen("https TLS_")?;
        until("a status without warning", PATIENCE, || (reason(&rule().ok()?) == "Accepted").then_some(()))?;
        shop.hand_over(&json!({"ca.crt": Authority::new("others")?.certificate}))?;
        shop.wait_unavailable()?;
        shop.hand_over(&json!({"ca.crt": shop.authority.certificate}))?;
        shop.wait_seen("https TLS_")
    });
    tested.map(drop)
}

#[test]
fn a_waypoint_shows_the_certificate_of_a_secret_and_takes_a_new_one_without_a_failed_request() -> Result<()> {
    let tested = reading("credentials-mutual", "MUTUAL", |shop| {
        shop.wait_unavailable()?;
        shop.hand_over(&shop.authority.client("first.client")?)?;
        shop.wait_seen("CN=first.client")?;
        let load = Load::of_requests(&shop.client, "http://web/debug")?;
        let rotated = (|| {
            shop.hand_over(&shop.authority.client("second.client")?)?;
            shop.wait_seen("CN=second.client")?;
            // A control plane that starts does not know it yet, and takes it from nobody.
            mesh::control_planes(0)?;
            mesh::control_planes(2)?;
            shop.wait_seen("CN=second.client")
        })();
        let report = load.stop();
        rotated?;
        report?.all_answered()?;

        // Whom nobody of the server's knows it does not take.
        shop.hand_over(&Authority::new("others")?.client("stranger")?)?;
        shop.wait_unavailable()?;
        shop.hand_over(&shop.authority.client("third.client")?)?;
        shop.wait_seen("CN=third.client")?;
        shop.shop.kubectl(&["delete", "secret", SECRET])?;
        shop.wait_unavailable()
    });
    tested.map(drop)
}

#[test]
fn a_waypoint_keeps_a_credential_whose_reading_is_no_longer_allowed() -> Result<()> {
    let shop = reading("credentials-right", "MUTUAL", |shop| {
        shop.hand_over(&shop.authority.client("first.client")?)?;
        shop.wait_seen("CN=first.client")
    })?;
    // The right is gone with the last installation, which also replaced whoever had read it.
    let load = Load::of_connections(&shop.client, "http://web/debug")?;
    mesh::control_planes(0)?;
    mesh::control_planes(2)?;
    // What is new cannot be read.
    shop.hand_over(&shop.authority.client("second.client")?)?;
    let seen = shop.wait_seen("CN=first.client");
    let report = load.stop()?;
    seen?;
    ensure!(report.answered() > 0, "{report:?}");
    report.all_answered()
}
