//! Tokens, through a real waypoint.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::mesh::Mesh;
use super::{HTTP, with_mesh};

const ALLOW: &str = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: private, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: web}]
  rules:
  - to: [{operation: {paths: [/public]}}]
  - from: [{source: {requestPrincipals: ["us/*"]}}]
"#;

/// An issuer of tokens.
struct Issuer {
    pair: EcdsaKeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), id }
    }

    fn keys(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y}]}).to_string()
    }

    fn token(&self, claims: &Value) -> String {
        let header = base64url(json!({"alg": "ES256", "kid": self.id}).to_string().as_bytes());
        let message = format!("{header}.{}", base64url(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", base64url(signature.as_ref()))
    }
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            out.push(char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    out
}

fn objects(keys: &str) -> String {
    format!(
        r#"{ALLOW}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: shop}}
spec:
  targetRefs: [{{kind: Service, group: "", name: web}}]
  jwtRules:
  - issuer: us
    audiences: [web]
    {keys}
    outputClaimToHeaders: [{{header: x-sub, claim: sub}}]
"#
    )
}

async fn ask(mesh: &Mesh, path: &str, headers: &str) -> String {
    let mut stream = mesh.open(HTTP).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: web.shop\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn tokens_are_checked_before_policy_looks_at_them() {
    let issuer = Issuer::new("a");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let good = json!({"iss": "us", "sub": "me", "aud": ["web"], "exp": now + 600});
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        bearer(&issuer.token(&claims))
    };
    let good_token = bearer(&issuer.token(&good));
    let unsigned = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(good.to_string().as_bytes()));
    with_mesh(&objects(&format!("jwks: '{}'", issuer.keys())), async |mesh| {
        for (path, headers, status, has) in [
            ("/public", String::new(), 200, "GET /public"),
            ("/private", String::new(), 403, "RBAC: access denied"),
            ("/private", good_token.clone(), 200, "x-sub: me"),
            // The second time it is known already.
            ("/private", good_token.clone(), 200, "x-sub: me"),
            ("/private?access_token=x", good_token.clone(), 401, "Jwt is not in the form"),
            ("/public", bearer("a.b.c"), 401, r#"www-authenticate: Bearer error="invalid_token""#),
            ("/public", bearer(&unsigned), 401, "Jwt verification fails"),
            ("/public", bearer(&Issuer::new("a").token(&good)), 401, "Jwt verification fails"),
            ("/public", bearer(&Issuer::new("b").token(&good)), 401, "Jwt verification fails"),
            ("/public", changed("iss", json!("them")), 401, "Jwt issuer is not configured"),
            ("/public", changed("exp", json!(now - 61)), 401, "Jwt is expired"),
            ("/public", changed("nbf", json!(now + 600)), 401, "Jwt not yet valid"),
            ("/public", changed("aud", json!("other")), 403, "Audiences in Jwt are not allowed"),
            ("/private", changed("sub", json!(null)), 403, "RBAC: access denied"),
        ] {
            let answer = ask(&mesh, path, &headers).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {answer}");
            assert!(answer.contains(has), "{path} {headers}: {answer}");
            assert!(!answer.contains("authorization"), "the token went on: {answer}");
        }
        let forged = ask(&mesh, "/public", "x-sub: admin\r\n").await;
        assert!(!forged.contains("x-sub"), "{forged}");
    })
    .await;
}

/// Serves an issuer's keys, and the document that says where they are.
async fn serve_keys(server: TcpListener, keys: String) {
    let address = server.local_addr().unwrap();
    loop {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let body = match String::from_utf8_lossy(&head).split(' ').nth(1).unwrap() {
            "/keys" => keys.clone(),
            "/.well-known/openid-configuration" => json!({"jwks_uri": format!("http://{address}/keys")}).to_string(),
            other => panic!("{other}"),
        };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A service of the mesh that serves keys.
fn service(port: u16) -> String {
    format!(
        r#"
---
apiVersion: v1
kind: Service
metadata: {{name: keys, namespace: shop}}
spec:
  clusterIP: 10.96.0.8
  selector: {{app: keys}}
  ports: [{{name: http, port: 8000, targetPort: {port}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: keys-0, namespace: shop, labels: {{app: keys}}}}
spec: {{serviceAccountName: keys, nodeName: node-1}}
status: {{podIP: 127.0.0.3, phase: Running, conditions: [{{type: Ready, status: "True"}}]}}
"#
    )
}

#[tokio::test]
async fn keys_are_fetched() {
    for from in ["address", "service", "discovery"] {
        let issuer = Issuer::new("a");
        let server = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let (name, keys) = match from {
            "address" => ("us".to_owned(), format!("jwksUri: http://{address}/keys")),
            "service" => ("us".to_owned(), "jwksUri: http://keys.shop.svc:8000/keys".to_owned()),
            _ => (format!("http://{address}/"), String::new()),
        };
        let objects = objects(&keys).replace("issuer: us", &format!("issuer: {name}")) + &service(address.port());
        let claims = json!({"iss": name, "sub": "me", "aud": "web"});
        let (good, unknown) = (bearer(&issuer.token(&claims)), bearer(&Issuer::new("b").token(&claims)));
        with_mesh(&objects, async |mesh| {
            tokio::task::spawn_local(serve_keys(server, issuer.keys()));
            // The first request waits for them.
            for _ in 0..2 {
                let answer = ask(&mesh, "/public", &good).await;
                assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("x-sub: me"), "{from}: {answer}");
            }
            let answer = ask(&mesh, "/public", &unknown).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{from}: {answer}");
        })
        .await;
    }
}

#[tokio::test]
async fn without_keys_no_token_is_believed() {
    let token = bearer(&Issuer::new("a").token(&json!({"iss": "us", "sub": "me", "aud": "web"})));
    with_mesh(&objects("jwksUri: http://127.0.0.1:1/keys"), async |mesh| {
        let answer = ask(&mesh, "/public", &token).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("Jwks remote fetch is failed"), "{answer}");
        assert!(ask(&mesh, "/public", "").await.starts_with("HTTP/1.1 200 "));
    })
    .await;
}
