//! DestinationRule on what a connection to a server is made of: TLS, a PROXY header, a tunnel through it.

use std::sync::Arc;

use ambit_model::Identity;
use anyhow::{Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::case::{Shop, cases, rule_of};
use crate::client::configs;
use crate::raw::{Raw, Talk, answer_all};
use crate::scene::RAW;

/// A DestinationRule of `raw` with TLS; `FOLDER` is where the files are.
fn tls(settings: &str) -> String {
    rule_of("raw", &format!("trafficPolicy: {{tls: {settings}}}"))
}

const ROOTS: &str = "caCertificates: FOLDER/roots.pem";

cases! {
    no_tls ["spec.trafficPolicy.tls.mode"]
    tls("{mode: DISABLE}") => |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        shop.get("/").to(RAW, 80).answers(200)?;
        ensure!(raw.text().starts_with("GET / HTTP/1.1\r\n"), "{}", raw.text());
        Ok(())
    };
    simple_tls ["spec.trafficPolicy.tls.caCertificates", "spec.trafficPolicy.tls.sni", "spec.trafficPolicy.tls.subjectAltNames",
                "spec.trafficPolicy.tls.insecureSkipVerify", "spec.trafficPolicy.tls.caCrl"]
    tls(&format!("{{mode: SIMPLE, {ROOTS}}}")) => |shop: &mut Shop| {
        let server = Server::start(shop)?;
        for (settings, is_good, name) in [
            (format!("mode: SIMPLE, {ROOTS}, sni: raw.example"), true, "raw.example"),
            (format!("mode: SIMPLE, {ROOTS}, sni: other.example"), false, ""),
            (format!("mode: SIMPLE, {ROOTS}, sni: other.example, subjectAltNames: [raw.example]"), true, "other.example"),
            (format!("mode: SIMPLE, {ROOTS}, sni: raw.example, subjectAltNames: [other.example]"), false, ""),
            ("mode: SIMPLE, sni: raw.example".to_owned(), false, ""),
            ("mode: SIMPLE, sni: raw.example, insecureSkipVerify: true".to_owned(), true, "raw.example"),
            (format!("mode: SIMPLE, {ROOTS}, sni: raw.example, caCrl: FOLDER/revoked.pem"), false, ""),
            (format!("mode: SIMPLE, {ROOTS}, sni: raw.example, caCrl: FOLDER/missing.pem"), false, ""),
        ] {
            server.expect(shop, &settings, is_good, &[name, "no certificate"])?;
        }
        Ok(())
    };
    name_of_the_request []
    tls(&format!("{{mode: SIMPLE, {ROOTS}}}")) => |shop: &mut Shop| {
        let server = Server::start(shop)?;
        server.write(shop, &format!("mode: SIMPLE, {ROOTS}"))?;
        shop.client.until("TLS", || shop.get("/").to(RAW, 80).host("raw.example:80").answers(200).ok())?;
        shop.get("/").to(RAW, 80).host("other.example").answers(503)?;
        ensure!(note_of(&server, "raw.example"), "not its name");
        Ok(())
    };
    mutual_tls ["spec.trafficPolicy.tls.clientCertificate", "spec.trafficPolicy.tls.privateKey"]
    tls(&format!("{{mode: SIMPLE, {ROOTS}}}")) => |shop: &mut Shop| {
        let server = Server::start(shop)?;
        let own = "clientCertificate: FOLDER/client.pem, privateKey: FOLDER/client.key";
        server.expect(shop, &format!("mode: MUTUAL, {ROOTS}, sni: raw.example, {own}"), true, &["raw.example", "certificate"])?;
        let missing = "clientCertificate: FOLDER/client.pem, privateKey: FOLDER/missing.key";
        server.expect(shop, &format!("mode: MUTUAL, {ROOTS}, sni: raw.example, {missing}"), false, &[])
    };
    credentials_of_a_secret ["spec.trafficPolicy.tls.credentialName"]
    tls(&format!("{{mode: SIMPLE, {ROOTS}}}")) => |shop: &mut Shop| {
        let server = Server::start(shop)?;
        let [certificate, key, roots] = ["client.pem", "client.key", "roots.pem"].map(|name| server.file(name));
        let secret = format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: raw-tls, namespace: shop}}\nstringData:\n  tls.crt: |\n{certificate}  tls.key: |\n{key}  ca.crt: |\n{roots}");
        let rule = tls("{mode: MUTUAL, sni: raw.example, credentialName: raw-tls}");
        for (objects, status) in [(rule.clone(), 503), (format!("{rule}{secret}"), 200)] {
            shop.scene.write(&objects)?;
            server.wait(shop, status)?;
        }
        ensure!(note_of(&server, "certificate"), "no certificate shown");
        Ok(())
    };
    tls_of_the_mesh []
    tls("{mode: ISTIO_MUTUAL}") => |shop: &mut Shop| {
        let start = |account: &str| -> Result<Raw> {
            let identity: Identity = format!("spiffe://cluster.local/ns/shop/sa/{account}").parse()?;
            let config = shop.client.block_on(async { anyhow::Ok(configs(&shop.scene)?.server_config(&identity).await?) })?;
            // An application's own: HTTP as it comes.
            let mut config = ServerConfig::clone(&config);
            config.alpn_protocols.clear();
            let config = Arc::new(config);
            Raw::start(&shop.scene, 7000, move |talk: Talk| {
                let config = Arc::clone(&config);
                async move { answer_all(talk.in_tls(config).await?).await }
            })
        };
        let impostor = start("other")?;
        shop.get("/").to(RAW, 80).answers(503)?;
        ensure!(impostor.text().is_empty(), "{}", impostor.text());
        drop(impostor);
        let raw = shop.client.until("its port", || start("raw").ok())?;
        shop.get("/").to(RAW, 80).answers(200)?;
        ensure!(raw.heard().iter().any(|heard| heard.notes.contains(&"certificate".to_owned())), "no certificate shown");
        Ok(())
    };
    tls_of_a_port ["spec.trafficPolicy.portLevelSettings[].tls.mode"]
    rule_of("raw", "trafficPolicy: {portLevelSettings: [{port: {number: 81}, tls: {mode: SIMPLE, insecureSkipVerify: true}}]}") => |shop: &mut Shop| {
        // A server that hangs up on a TLS handshake, which it does not understand.
        let raw = Raw::start(&shop.scene, 7000, |mut talk: Talk| async move {
            if talk.hear().await?.first() == Some(&b'G') { talk.say(crate::raw::OK).await } else { Ok(()) }
        })?;
        shop.get("/").to(RAW, 80).answers(200)?;
        shop.get("/").to(RAW, 81).answers(503)?;
        ensure!(raw.heard().iter().any(|heard| heard.bytes.starts_with(&[22, 3])), "no TLS came");
        Ok(())
    };
    proxy_header ["spec.trafficPolicy.proxyProtocol.version"]
    rule_of("raw", "trafficPolicy: {proxyProtocol: {version: V1}}") => |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7001, |mut talk: Talk| async move { talk.echo().await })?;
        let expected = b"PROXY TCP4 10.1.0.9 10.96.0.31 40000 90\r\nping";
        ensure!(shop.client.exchange((RAW, 90), b"ping", expected.len())? == expected, "{}", raw.text());
        shop.scene.write(&rule_of("raw", "trafficPolicy: {proxyProtocol: {version: V2}}"))?;
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        expected.extend([10, 1, 0, 9, 10, 96, 0, 31]);
        expected.extend([40_000_u16.to_be_bytes(), 90_u16.to_be_bytes()].concat());
        expected.extend(b"ping");
        shop.client.until("version 2", || {
            (shop.client.exchange((RAW, 90), b"ping", expected.len()).ok()? == expected).then_some(())
        })
    };
    tunnel ["spec.trafficPolicy.tunnel.protocol", "spec.trafficPolicy.tunnel.targetHost", "spec.trafficPolicy.tunnel.targetPort"]
    rule_of("raw", "trafficPolicy: {tunnel: {protocol: CONNECT, targetHost: db.example, targetPort: 5432}}") => |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7001, |mut talk: Talk| async move {
            talk.until(b"\r\n\r\n").await?;
            talk.say("HTTP/1.1 200 OK\r\n\r\n").await?;
            talk.echo().await
        })?;
        ensure!(shop.client.exchange((RAW, 90), b"ping", 4)? == b"ping", "{}", raw.text());
        ensure!(raw.text().starts_with("CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\n"), "{}", raw.text());
        Ok(())
    };
}

/// A server of TLS, which takes certificates of clients where they show any.
pub(crate) struct Server {
    raw: Raw,
    folder: String,
}

/// Whether a server of TLS took this down.
pub(crate) fn note_of(server: &Server, note: &str) -> bool {
    server.raw.heard().iter().any(|heard| heard.notes.iter().any(|it| it == note))
}

impl Server {
    /// Starts it; its files are in the scene's folder.
    pub(crate) fn start(shop: &Shop) -> Result<Self> {
        let folder = shop.scene.folder.path().to_string_lossy().into_owned();
        let authority = authority()?;
        let (certificate, key) = issued("raw.example", 7, &authority)?;
        let (client, client_key) = issued("waypoint.example", 8, &authority)?;
        for (name, text) in [
            ("roots.pem", authority.pem()),
            ("client.pem", client.pem()),
            ("client.key", client_key.serialize_pem()),
            ("revoked.pem", revoked(7, &authority)?),
        ] {
            std::fs::write(format!("{folder}/{name}"), text)?;
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        let config = Arc::new(config);
        let raw = Raw::start(&shop.scene, 7000, move |talk: Talk| {
            let config = Arc::clone(&config);
            async move { answer_all(talk.in_tls(config).await?).await }
        })?;
        Ok(Self { raw, folder })
    }

    fn write(&self, shop: &Shop, settings: &str) -> Result<()> {
        shop.scene.write(&tls(&format!("{{{}}}", settings.replace("FOLDER", &self.folder))))
    }

    /// One of its files, as a block of YAML.
    fn file(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("{}/{name}", self.folder)).unwrap_or_default();
        text.lines().map(|line| format!("    {line}\n")).collect()
    }

    /// Its roots, as a block of YAML.
    pub(crate) fn roots(&self) -> String {
        self.file("roots.pem")
    }

    /// With these settings requests are answered or refused; where they are answered, the server noted this.
    fn expect(&self, shop: &Shop, settings: &str, is_good: bool, notes: &[&str]) -> Result<()> {
        // From a server that is never believed, to know when the new settings hold.
        self.write(
            shop,
            if is_good { "mode: SIMPLE, sni: nobody.example" } else { "mode: SIMPLE, insecureSkipVerify: true" },
        )?;
        self.wait(shop, if is_good { 503 } else { 200 })?;
        let before = self.raw.heard().len();
        self.write(shop, settings)?;
        self.wait(shop, if is_good { 200 } else { 503 })
            .map_err(|error| error.context(format!("{settings}: {:?}", self.raw.heard().get(before..))))?;
        let heard = self.raw.heard();
        let noted = heard.get(before..).unwrap_or_default().iter().any(|heard| heard.notes == notes);
        ensure!(!is_good || noted, "{settings}: {heard:?}");
        Ok(())
    }

    fn wait(&self, shop: &Shop, status: u16) -> Result<()> {
        let asked = || (shop.get("/").to(RAW, 80).send().ok()?.status == status).then_some(());
        shop.client.until(&format!("an answer of {status}"), asked)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn issued(name: &str, serial: u64, by: &CertifiedIssuer<'static, KeyPair>) -> Result<(rcgen::Certificate, KeyPair)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.serial_number = Some(SerialNumber::from(serial));
    Ok((params.signed_by(&key, by)?, key))
}

/// A list that revokes one certificate.
fn revoked(serial: u64, by: &CertifiedIssuer<'static, KeyPair>) -> Result<String> {
    let (long_ago, far_away) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2100, 1, 1));
    let one = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: long_ago,
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: long_ago,
        next_update: far_away,
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![one],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok(params.signed_by(by)?.pem()?)
}
