//! Certificates from the control plane's authority.

use std::error::Error;

use ambit_identity::{CertificateSource, FetchError, FetchFuture, IssuedChain, SigningRequest};
use ambit_xds::proto::certificate::IstioCertificateRequest;
use ambit_xds::proto::certificate::istio_certificate_service_client::IstioCertificateServiceClient;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use tonic::{Code, Status};

use crate::ControlPlane;

/// Names the identity asked for: a node agent's own token proves another, that of the agent itself.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// The control plane's authority.
pub struct RemoteAuthority {
    address: String,
    client: IstioCertificateServiceClient<ControlPlane>,
}

/// Why it gave no certificate.
#[derive(Debug, thiserror::Error)]
enum AuthorityError {
    #[error("the control plane at {address} says {code:?}: {message}")]
    Refused { address: String, code: Code, message: String, source: Option<Box<dyn Error + Send + Sync>> },
    #[error("the control plane at {address} sent no valid PEM")]
    Pem { address: String, source: pem::Error },
    #[error("the control plane at {address} sent no certificate")]
    Empty { address: String },
}

impl RemoteAuthority {
    /// The authority at `address`, for messages, asked by way of `channel`.
    #[must_use]
    pub fn new(address: String, channel: ControlPlane) -> Self {
        Self { address, client: IstioCertificateServiceClient::new(channel) }
    }

    async fn ask(&self, request: &SigningRequest, csr: String) -> Result<IssuedChain, AuthorityError> {
        let address = || self.address.clone();
        let identity = Value { kind: Some(Kind::StringValue(request.identity.to_string())) };
        let message = IstioCertificateRequest {
            csr,
            validity_duration: i64::try_from(request.lifetime.as_secs()).unwrap_or(i64::MAX),
            metadata: Some(Struct { fields: [(IMPERSONATED.to_owned(), identity)].into() }),
        };
        let answer = self.client.clone().create_certificate(message).await;
        let answer = answer.map_err(|status| self.refused(status))?.into_inner();
        // The last element is the roots, which come as a resource of their own.
        let mut parts = answer.cert_chain;
        if parts.len() > 1 {
            parts.pop();
        }
        let chain = CertificateDer::pem_slice_iter(parts.concat().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| AuthorityError::Pem { address: address(), source })?;
        if chain.is_empty() { Err(AuthorityError::Empty { address: address() }) } else { Ok(IssuedChain(chain)) }
    }

    fn refused(&self, status: Status) -> AuthorityError {
        let (address, code, message) = (self.address.clone(), status.code(), status.message().to_owned());
        AuthorityError::Refused {
            address,
            code,
            message,
            source: Error::source(&status).map(|cause| cause.to_string().into()),
        }
    }
}

impl CertificateSource for RemoteAuthority {
    fn fetch<'a>(&'a self, request: &'a SigningRequest) -> FetchFuture<'a> {
        Box::pin(async move {
            let csr = request.csr.pem()?;
            self.ask(request, csr).await.map_err(|error| FetchError::Remote(Box::new(error)))
        })
    }
}
