//! A new self-signed root.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use super::{CaOptions, serial};

/// How long it is valid: 10 years.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A new self-signed root with its key, as PEM. It signs workloads' certificates and no authorities.
pub struct NewRoot {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

/// No key or certificate could be made: the machine's randomness or cryptography failed, or the trust
/// domain cannot stand in a certificate.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate authority")]
pub struct GenerateError(#[from] rcgen::Error);

impl NewRoot {
    /// Makes one.
    ///
    /// # Errors
    /// When there is no randomness, or the trust domain cannot stand in a certificate.
    pub fn generate(options: &CaOptions) -> Result<Self, GenerateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let now = options.clock.now();
        let serial = serial();
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, &*options.trust_domain);
        // Without it, two roots of one trust domain would have one name, and rotation would be guesswork.
        let unique: String = serial.to_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        name.push(DnType::CommonName, format!("Ambit CA {unique}"));
        let mut params = CertificateParams::default();
        params.not_before = (now - options.backdate).into();
        params.not_after = (now + LIFETIME).into();
        params.serial_number = Some(serial);
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key: key.serialize_pem() })
    }
}
