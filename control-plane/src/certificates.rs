//! The certificate service: who asks gets a certificate of its own, and a node agent those of the pods that
//! run on its node.

mod counters;
mod refusal;
mod rights;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{CertificateAuthority, IssueError, IssuedChain, Roots};
use ambit_model::{Identity, IdentityError};
use ambit_xds::proto::certificate::istio_certificate_service_server::IstioCertificateService;
use ambit_xds::proto::certificate::{IstioCertificateRequest, IstioCertificateResponse};
use ambit_xds::{Authenticator, caller};
use prost_types::value::Kind;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status};

pub(crate) use counters::CertificateCounters;
pub(crate) use rights::NodeIdentities;

use crate::config::ServiceAccountName;
use refusal::Refusal;
use rights::Rights;

/// The field of the request's metadata that names whom a node agent asks for.
const IMPERSONATED: &str = "ImpersonatedIdentity";
/// Longest signing request, in bytes: for a P-256 key and one name it has about 500, for the longest RSA key 3000.
const MAX_CSR: usize = 16 << 10;
/// Signatures made at one time; a plugged-in RSA key takes milliseconds for each.
const MAX_SIGNING: usize = 4;
/// Longest wait for one's turn. Clients give up after about as long, and come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings of [`Certificates`].
#[derive(Debug, Clone)]
pub(crate) struct CertificateOptions {
    /// First part of every identity.
    pub(crate) trust_domain: Arc<str>,
    /// Longest lifetime; who asks for more, or for none in particular, gets this.
    pub(crate) longest: Duration,
    /// Service accounts of node agents.
    pub(crate) node_accounts: Vec<ServiceAccountName>,
    /// What is counted.
    pub(crate) counters: CertificateCounters,
}

/// `istio.v1.auth.IstioCertificateService`.
pub(crate) struct Certificates<A> {
    tokens: Arc<A>,
    signer: watch::Receiver<Arc<CertificateAuthority>>,
    roots: watch::Receiver<Arc<Roots>>,
    rights: Rights,
    longest: Duration,
    counters: CertificateCounters,
    signing: Arc<Semaphore>,
}

impl<A: Authenticator> Certificates<A> {
    /// A service that believes `tokens` and `pods`.
    pub(crate) fn new(
        tokens: Arc<A>,
        signer: watch::Receiver<Arc<CertificateAuthority>>,
        roots: watch::Receiver<Arc<Roots>>,
        pods: Arc<dyn NodeIdentities>,
        options: CertificateOptions,
    ) -> Self {
        let CertificateOptions { trust_domain, longest, node_accounts, counters } = options;
        let rights = Rights { trust_domain, node_accounts, pods };
        Self { tokens, signer, roots, rights, longest, counters, signing: Arc::new(Semaphore::new(MAX_SIGNING)) }
    }

    async fn issue(&self, request: Request<IstioCertificateRequest>) -> Result<IstioCertificateResponse, Refusal> {
        let caller = caller(&*self.tokens, request.metadata()).await.map_err(Refusal::Caller)?;
        let request = request.into_inner();
        let asked = asked(&request)?;
        let identity = self.rights.identity(&caller, asked.as_ref()).map_err(|denial| {
            let whose = asked.as_ref().map_or_else(|| "its own".to_owned(), ToString::to_string);
            tracing::warn!(
                caller = format!("{}/{}", caller.namespace, caller.service_account),
                pod = caller.pod.as_ref().map(|pod| &*pod.name),
                node = caller.node,
                identity = whose,
                reason = %denial,
                "certificate denied"
            );
            Refusal::Denied(denial)
        })?;
        let chain = self.sign(request.csr, identity, self.lifetime(request.validity_duration)).await?;
        let roots = self.roots.borrow().to_pem();
        Ok(IstioCertificateResponse { cert_chain: chain.pems().chain([roots]).collect() })
    }

    /// Signs on a thread where nothing waits for it.
    async fn sign(&self, csr: String, identity: Identity, lifetime: Duration) -> Result<IssuedChain, Refusal> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.signing).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(Refusal::Busy) };
        let signer = Arc::clone(&self.signer.borrow());
        let signed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            signer.issue_pem(&csr, &identity, lifetime)
        });
        // A task that panicked is a defect of ours; it is in the log.
        signed.await.map_err(|_| Refusal::Busy)?.map_err(|error| match error {
            IssueError::Expired | IssueError::Sign(_) => Refusal::Authority(error),
            IssueError::Pem(_)
            | IssueError::Request(_)
            | IssueError::KeyType
            | IssueError::Names { .. }
            | IssueError::TrustDomain { .. } => Refusal::SigningRequest(error),
        })
    }

    fn lifetime(&self, seconds: i64) -> Duration {
        match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds).min(self.longest),
            Ok(_) | Err(_) => self.longest,
        }
    }
}

#[tonic::async_trait]
impl<A: Authenticator> IstioCertificateService for Certificates<A> {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        match self.issue(request).await {
            Ok(response) => {
                self.counters.issued();
                Ok(Response::new(response))
            }
            Err(refusal) => {
                self.counters.refused(&refusal);
                Err(refusal.into())
            }
        }
    }
}

/// Whose certificate is asked for; none for the caller's own.
fn asked(request: &IstioCertificateRequest) -> Result<Option<Identity>, Refusal> {
    if request.csr.len() > MAX_CSR {
        return Err(Refusal::TooLong(request.csr.len()));
    }
    let value = request.metadata.as_ref().and_then(|metadata| metadata.fields.get(IMPERSONATED));
    match value.map(|value| &value.kind) {
        None => Ok(None),
        Some(Some(Kind::StringValue(text))) => text.parse().map(Some).map_err(Refusal::Identity),
        // Whoever names somebody in a way we do not understand must not get something else.
        Some(_) => Err(Refusal::Identity(IdentityError::Form(String::new()))),
    }
}
