//! What is written in a workload's certificate.

use std::time::SystemTime;

use ambit_model::{Identity, IdentityError};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What is written in a workload's certificate. Reading proves nothing: the chain is checked elsewhere.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) identity: Identity,
    /// Serial number, hexadecimal.
    pub(crate) serial: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// Why a certificate is not one of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// It is no X.509 certificate, or its extensions are broken or repeated.
    #[error("the certificate cannot be read")]
    Malformed,
    /// Its names are not exactly one URI.
    #[error("the certificate must name exactly one URI and nothing else, it names {names:?}")]
    Names {
        /// The names it has.
        names: Vec<String>,
    },
    /// Its URI is no identity.
    #[error("the certificate's URI is no identity")]
    Identity(#[from] IdentityError),
}

impl Leaf {
    /// Reads the leaf of a chain. All kinds of names are looked at, so that a certificate which is also
    /// good for a host name or an address is never taken for a workload's.
    pub(crate) fn parse(certificate: &CertificateDer<'_>) -> Result<Self, LeafError> {
        let (rest, x509) = X509Certificate::from_der(certificate).map_err(|_| LeafError::Malformed)?;
        if !rest.is_empty() {
            return Err(LeafError::Malformed);
        }
        let extension = x509.subject_alternative_name().map_err(|_| LeafError::Malformed)?;
        let names = extension.map_or(&[][..], |san| &san.value.general_names);
        let [GeneralName::URI(uri)] = names else {
            return Err(LeafError::Names { names: names.iter().map(ToString::to_string).collect() });
        };
        Ok(Self {
            identity: uri.parse()?,
            serial: x509.serial.to_str_radix(16),
            not_before: x509.validity().not_before.to_datetime().into(),
            not_after: x509.validity().not_after.to_datetime().into(),
        })
    }
}
