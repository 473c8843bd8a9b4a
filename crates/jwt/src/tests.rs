//! Tokens of the RFCs, tokens of our own keys, and forged ones.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::public_key::PublicKey;
use crate::{ClaimError, Expected, KeySet, KeySetError, MAX_TOKEN, SignatureError, Token, TokenError};

/// RFC 7515 appendix A.2.
const RS256: (&str, &str) = (
    concat!(
        r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw"#,
        "-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXn",
        "dS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmo",
        r#"udF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#,
    ),
    concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290I",
        "jp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGb",
        "ds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN",
        "9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkW",
        "ywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
);

/// RFC 7515 appendix A.3.
const ES256: (&str, &str) = (
    concat!(
        r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
        r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
    ),
    concat!(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290I",
        "jp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
);

#[test]
fn tokens_of_the_rfc_are_believed() {
    for (set, token) in [RS256, ES256] {
        let verified = KeySet::read(set).unwrap().verify(Token::read(token).unwrap()).unwrap();
        assert_eq!(verified.check(&at(1_300_819_380.0, &[])), Ok(()));
        assert_eq!(verified.check(&at(1_300_819_441.0, &[])), Err(ClaimError::Expired));
        assert_eq!(verified.into_claims().get("iss"), Some(&json!("joe")));
    }
}

/// RFC 8037 appendix A.4: no token, but a signature.
#[test]
fn the_signature_of_edwards25519_is_believed() {
    let read = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
    let key = PublicKey::Ed25519(read("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
    let signature = read("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(key.verifies(Algorithm::EdDsa, message, &signature));
    assert!(!key.verifies(Algorithm::Es256, message, &signature));
    assert!(!key.verifies(Algorithm::EdDsa, b"another", &signature));
}

#[test]
fn each_algorithm_is_verified_by_the_keys_of_its_kind_alone() {
    let signers = signers();
    let everybody = KeySet::read(&json!({"keys": signers.iter().map(|one| &one.key).collect::<Vec<_>>()}).to_string());
    let everybody = everybody.unwrap();
    for signer in &signers {
        let token = signer.token(&json!({}), &json!({"iss": "us"}));
        everybody.verify(Token::read(&token).unwrap()).unwrap();
        for other in &signers {
            let set = KeySet::read(&json!({"keys": [other.key]}).to_string()).unwrap();
            let same_key = signer.key == other.key;
            let verified = set.verify(Token::read(&token).unwrap());
            assert_eq!(verified.is_ok(), same_key, "{} by {}", signer.algorithm, other.algorithm);
        }
    }
}

#[test]
fn forged_tokens_are_not_believed() {
    let signer = signers().into_iter().find(|one| one.algorithm == "RS256").unwrap();
    let set = KeySet::read(&json!({"keys": [signer.key]}).to_string()).unwrap();
    let claims = json!({"iss": "us", "sub": "admin"});
    let good = signer.token(&json!({"kid": "k"}), &claims);
    let signature = good.rsplit_once('.').unwrap().1.to_owned();
    let with = |alg: &str, signature: &str| format!("{}.{}.{signature}", part(&json!({"alg": alg})), part(&claims));

    // The public key, as anybody has it, made a secret.
    let public = signer.key.to_string();
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), message.as_bytes());
    let by_public_key = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac));
    for token in [with("none", ""), with("None", ""), with("NONE", &signature), by_public_key, with("", &signature)] {
        assert_eq!(Token::read(&token).unwrap_err(), TokenError::Algorithm, "{token}");
    }
    for (token, expected) in [
        (with("RS256", ""), SignatureError::Invalid),
        (with("RS256", &signature), SignatureError::Invalid),
        (with("PS256", &signature), SignatureError::Invalid),
        (with("ES256", &signature), SignatureError::UnknownKey),
        (with("EdDSA", &signature), SignatureError::UnknownKey),
        (good.replace(&part(&claims), &part(&json!({"iss": "us", "sub": "root"}))), SignatureError::Invalid),
    ] {
        assert_eq!(set.verify(Token::read(&token).unwrap()).unwrap_err(), expected, "{token}");
    }
}

#[test]
fn a_key_is_found_by_its_name() {
    let signer = signers().into_iter().find(|one| one.algorithm == "ES256").unwrap();
    let set = |more: Value| {
        let mut key = signer.key.clone();
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        KeySet::read(&json!({"keys": [key, {"kty": "oct", "k": "AAAA"}, {"kty": "new"}, 7]}).to_string())
    };
    let verify = |set: &KeySet, header: Value| {
        set.verify(Token::read(&signer.token(&header, &json!({"iss": "us"}))).unwrap()).map(drop)
    };
    let named = set(json!({"kid": "a", "use": "sig", "alg": "ES256"})).unwrap();
    assert_eq!(verify(&named, json!({"kid": "a"})), Ok(()));
    assert_eq!(verify(&named, json!({})), Ok(()));
    assert_eq!(verify(&named, json!({"kid": "b"})), Err(SignatureError::UnknownKey));
    assert_eq!(verify(&set(json!({})).unwrap(), json!({"kid": "b"})), Ok(()));
    for useless in [json!({"use": "enc"}), json!({"alg": "RS256"}), json!({"alg": "HS256"}), json!({"x": "AA"})] {
        assert!(matches!(set(useless.clone()), Err(KeySetError::NoKey)), "{useless}");
    }
    assert!(matches!(KeySet::read("{}"), Err(KeySetError::Json(_))));
    assert!(matches!(KeySet::read(&" ".repeat(2 << 20)), Err(KeySetError::TooLong)));
}

#[test]
fn what_is_no_token_is_refused() {
    let head = part(&json!({"alg": "RS256"}));
    let deep = URL_SAFE_NO_PAD.encode(format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500)));
    let json = |part| TokenError::Json { part };
    for (token, expected) in [
        (String::new(), TokenError::Parts),
        ("a.b".to_owned(), TokenError::Parts),
        ("a.b.c.d".to_owned(), TokenError::Parts),
        ("a".repeat(MAX_TOKEN + 1), TokenError::TooLong),
        ("!.e30.".to_owned(), TokenError::Base64 { part: "header" }),
        (format!("{head}=.e30."), TokenError::Base64 { part: "header" }),
        ("e30.e30.".to_owned(), json("header")),
        (format!("{head}.AAAA."), json("payload")),
        (format!("{head}.{}.", URL_SAFE_NO_PAD.encode("[]")), json("payload")),
        (format!("{head}.{deep}."), json("payload")),
        (format!("{head}.e30.!"), TokenError::Base64 { part: "signature" }),
        (format!("{}.e30.", part(&json!({"alg": "RS256", "crit": ["b64"]}))), TokenError::Critical),
        (format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","alg":"ES256"}"#)), json("header")),
    ] {
        assert_eq!(Token::read(&token).unwrap_err(), expected, "{token}");
    }
}

#[test]
fn times_and_audiences_are_checked() {
    let signer = signers().into_iter().find(|one| one.algorithm == "EdDSA").unwrap();
    let set = KeySet::read(&json!({"keys": [signer.key]}).to_string()).unwrap();
    let malformed = |claim| Err(ClaimError::Malformed { claim });
    for (claims, audiences, expected) in [
        (json!({}), &[][..], Ok(())),
        (json!({"exp": 941}), &[], Ok(())),
        (json!({"exp": 940.5}), &[], Ok(())),
        (json!({"exp": 940}), &[], Err(ClaimError::Expired)),
        (json!({"exp": -1}), &[], Err(ClaimError::Expired)),
        (json!({"exp": "2000"}), &[], malformed("exp")),
        (json!({"exp": null}), &[], malformed("exp")),
        (json!({"nbf": 1060}), &[], Ok(())),
        (json!({"nbf": 1061}), &[], Err(ClaimError::TooEarly)),
        (json!({"nbf": true}), &[], malformed("nbf")),
        (json!({"aud": "x"}), &[], Ok(())),
        (json!({"aud": "x"}), &["y", "x"], Ok(())),
        (json!({"aud": ["z", "y"]}), &["y", "x"], Ok(())),
        (json!({"aud": "https://x/"}), &["x"], Ok(())),
        (json!({"aud": "z"}), &["y", "x"], Err(ClaimError::Audience)),
        (json!({"aud": []}), &["x"], Err(ClaimError::Audience)),
        (json!({"aud": [["x"]]}), &["x"], Err(ClaimError::Audience)),
        (json!({}), &["x"], Err(ClaimError::Audience)),
    ] {
        let token = signer.token(&json!({}), &claims);
        let verified = set.verify(Token::read(&token).unwrap()).unwrap();
        assert_eq!(verified.check(&at(1000.0, audiences)), expected, "{claims} for {audiences:?}");
    }
}

fn at<'a>(now: f64, audiences: &'a [&'a str]) -> Expected<'a, &'a str> {
    Expected { audiences, now }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Who signs tokens.
struct Signer {
    algorithm: &'static str,
    key: Value,
    sign: Sign,
}

impl Signer {
    fn token(&self, header: &Value, claims: &Value) -> String {
        let mut header = header.clone();
        header.as_object_mut().unwrap().insert("alg".to_owned(), self.algorithm.into());
        let message = format!("{}.{}", part(&header), part(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode((self.sign)(message.as_bytes())))
    }
}

fn signers() -> Vec<Signer> {
    let mut all: Vec<_> = [
        ("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", "P-521", &ECDSA_P521_SHA512_FIXED_SIGNING),
    ]
    .map(|(algorithm, name, with)| of_curve(algorithm, name, with))
    .into();
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    all.push(Signer { algorithm: "EdDSA", key, sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()) });
    let pair = std::sync::Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    // RFC 8017 appendix A.1.1: two lengths and a zero, 256 bytes of modulus, the exponent.
    let public = pair.public_key().as_ref();
    let (n, e) = (encode(&public[9..265]), encode(&public[267..]));
    let by: [(&str, &'static dyn RsaEncoding); 6] = [
        ("RS256", &RSA_PKCS1_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
        ("PS384", &RSA_PSS_SHA384),
        ("PS512", &RSA_PSS_SHA512),
    ];
    all.extend(by.map(|(algorithm, with)| {
        let pair = std::sync::Arc::clone(&pair);
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(with, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Signer { algorithm, key: json!({"kty": "RSA", "n": n, "e": e}), sign: Box::new(sign) }
    }));
    all
}

fn of_curve(algorithm: &'static str, name: &str, with: &'static EcdsaSigningAlgorithm) -> Signer {
    let pair = EcdsaKeyPair::generate(with).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let key = json!({"kty": "EC", "crv": name, "x": x, "y": y});
    let sign = move |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    Signer { algorithm, key, sign: Box::new(sign) }
}
