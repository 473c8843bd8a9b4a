//! The mesh's certificate authority. Its key lives in a Secret beside the control plane, and in memory.
//!
//! `cacerts`, if there is such a Secret, is the operator's own authority (a company's intermediate, say).
//! Else `ambit-ca` is used, which the first replica makes. Both have the same keys: `ca-cert.pem` (the
//! certificate that signs), `ca-key.pem`, `cert-chain.pem` (its issuers; may be absent or empty) and
//! `root-cert.pem` (every root the mesh trusts).
//!
//! # To change the authority without an outage
//!
//! Every step is one edit of the Secret; all replicas follow it live.
//!
//! 1. Add the new root to `root-cert.pem`, beside the old one. Nodes learn of it at once, ConfigMaps in pods
//!    within minutes. Wait until everything that has the bundle has the new one, peers outside of the mesh too.
//! 2. Replace `ca-cert.pem`, `ca-key.pem` and `cert-chain.pem` by the new pair. New certificates are signed by
//!    it; old ones go on being believed.
//! 3. Wait for the longest lifetime of a certificate (24 h by default). Then remove the old root from
//!    `root-cert.pem`: from then on the old authority is worth nothing.
//!
//! Whoever does 1 and 2 in one edit loses nothing either: the roots are published first, and replicas that run
//! sign with the old pair for [`rotation::HEAD_START`] more. A replica that starts in that time does not know
//! the old pair; so prefer the three steps. To go from `ambit-ca` to `cacerts`, make `cacerts` with a
//! `root-cert.pem` of both roots. Its removal is not followed: going back is a restart of the control plane.
//!
//! When a key is stolen: put the new pair **and only the new root** into the Secret. Connections between old
//! and new certificates then fail until every node has renewed its own; restart the node agents.

mod gauges;
mod rotation;
mod secret;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{CaOptions, CertificateAuthority, Roots};
use ambit_runtime::Condition;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;

pub(crate) use gauges::AuthorityGauges;

use crate::backoff::Backoff;
use crate::failure::error_chain;
use rotation::Rotation;
use source::Found;

/// Pause after the first failure to find the authority at start; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The authority in force and the roots of the mesh. Clones are the same.
#[derive(Clone)]
pub(crate) struct Authority(Arc<InForce>);

struct InForce {
    secrets: Api<Secret>,
    options: CaOptions,
    /// The Secret it began with.
    found: Found,
    signer: watch::Sender<Arc<CertificateAuthority>>,
    roots: watch::Sender<Arc<Roots>>,
    gauges: AuthorityGauges,
    /// Holds from the start on.
    _condition: Condition,
}

/// Finds the authority, or makes it. Tries until there is one: without it nothing can be served, and what
/// is in the way (the API server, a broken Secret) is in log and readiness.
pub(crate) async fn open(
    client: Client,
    namespace: &str,
    options: CaOptions,
    condition: Condition,
    gauges: AuthorityGauges,
) -> Authority {
    let secrets = Api::namespaced(client, namespace);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let (found, material) = loop {
        match source::find_or_create(&secrets, &options).await {
            Ok(found) => break found,
            Err(error) => {
                let text = error_chain(&error);
                tracing::error!(error = text, "no certificate authority yet");
                condition.failed(text);
                tokio::time::sleep(backoff.next()).await;
            }
        }
    };
    tracing::info!(secret = found.name, roots = material.roots.certificates().len(), "authority in force");
    condition.ok();
    gauges.in_force(&material.signer);
    Authority(Arc::new(InForce {
        secrets,
        options,
        found,
        signer: watch::Sender::new(material.signer),
        roots: watch::Sender::new(material.roots),
        gauges,
        _condition: condition,
    }))
}

impl Authority {
    /// Follows the Secrets for as long as it is polled.
    pub(crate) async fn run(self) {
        Rotation::new(&self.0).follow(source::changes(&self.0.secrets)).await;
    }

    /// Who signs.
    pub(crate) fn signer(&self) -> watch::Receiver<Arc<CertificateAuthority>> {
        self.0.signer.subscribe()
    }

    /// Whom the mesh trusts. A new root is here before anything is signed under it.
    pub(crate) fn roots(&self) -> watch::Receiver<Arc<Roots>> {
        self.0.roots.subscribe()
    }
}

impl InForce {
    fn sign_with(&self, signer: Arc<CertificateAuthority>) {
        self.gauges.in_force(&signer);
        self.signer.send_replace(signer);
    }
}
