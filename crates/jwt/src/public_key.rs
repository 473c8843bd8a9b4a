//! A public key of an issuer.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::algorithm::Algorithm;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// Modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point of a curve.
    Ec(Curve, Vec<u8>),
    /// A point of edwards25519.
    Ed25519(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

/// The members of a JSON Web Key that are the key itself (RFC 7518 §6, RFC 8037 §2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Material {
    kty: String,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

impl PublicKey {
    /// The key that a JSON Web Key is, where it is one we know. The type alone decides: nothing else the key says.
    pub(crate) fn read(material: &Material) -> Option<Self> {
        match (&*material.kty, &*material.crv) {
            ("RSA", _) => Some(Self::Rsa { n: number(&material.n)?, e: number(&material.e)? }),
            ("EC", "P-256") => point(Curve::P256, 32, material),
            ("EC", "P-384") => point(Curve::P384, 48, material),
            ("EC", "P-521") => point(Curve::P521, 66, material),
            ("OKP", "Ed25519") => bytes(&material.x).filter(|x| x.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }

    /// Whether a signature by this algorithm can be of this key.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Self::Ec(Curve::P256, _) => algorithm == Es256,
            Self::Ec(Curve::P384, _) => algorithm == Es384,
            Self::Ec(Curve::P521, _) => algorithm == Es512,
            Self::Ed25519(_) => algorithm == EdDsa,
        }
    }

    /// Whether this is a signature of this key. It is not where the algorithm does not fit.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let by_point = |with: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(with, point).verify(message, signature).is_ok()
        };
        match self {
            Self::Ec(Curve::P256, point) => by_point(&ECDSA_P256_SHA256_FIXED, point),
            Self::Ec(Curve::P384, point) => by_point(&ECDSA_P384_SHA384_FIXED, point),
            Self::Ec(Curve::P521, point) => by_point(&ECDSA_P521_SHA512_FIXED, point),
            Self::Ed25519(point) => by_point(&ED25519, point),
            Self::Rsa { n, e } => {
                let with = match algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
                    Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => return false,
                };
                PublicKeyComponents { n, e }.verify(with, message, signature).is_ok()
            }
        }
    }
}

fn point(curve: Curve, size: usize, material: &Material) -> Option<PublicKey> {
    let (x, y) = (bytes(&material.x)?, bytes(&material.y)?);
    let is_point = x.len() == size && y.len() == size;
    is_point.then(|| PublicKey::Ec(curve, [&[4], &*x, &*y].concat()))
}

/// A number, without the zeros that some write in front.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    bytes.get(first..).map(<[u8]>::to_vec)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}
