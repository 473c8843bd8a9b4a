//! From one authority to the next, with the Secret that changes.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{CertificateAuthority, Roots};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use tokio::time::{Instant, sleep_until};

use super::InForce;
use super::secret::{self, Material};
use super::source::{Change, Found, PLUGGED_IN};
use crate::failure::error_chain;

/// How long new roots are out before anything is signed under them that the roots before did not lead to.
/// Nodes have them within a second; two minutes let ConfigMaps in pods arrive too, which kubelet renews
/// about every minute.
pub(super) const HEAD_START: Duration = Duration::from_secs(120);

/// What is under way.
pub(super) struct Rotation<'a> {
    authority: &'a InForce,
    in_force: Found,
    /// Roots that everybody has had the time to learn of.
    settled: Arc<Roots>,
    /// When those that are published now are settled.
    settle_at: Option<Instant>,
    /// Who signs from then on.
    next: Option<Arc<CertificateAuthority>>,
    /// The Secret that has a problem.
    broken: Option<&'static str>,
}

impl<'a> Rotation<'a> {
    pub(super) fn new(authority: &'a InForce) -> Self {
        let settled = Arc::clone(&authority.roots.borrow());
        Self { authority, in_force: authority.found.clone(), settled, settle_at: None, next: None, broken: None }
    }

    /// Follows the changes to their end.
    pub(super) async fn follow(mut self, mut changes: impl Stream<Item = Change> + Unpin) {
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(change) => self.take(change),
                    None => return,
                },
                () = reached(self.settle_at) => self.settle(),
            }
        }
    }

    fn take(&mut self, Change { name, secret }: Change) {
        let ours = name == self.in_force.name;
        match secret {
            Some(secret) if ours || name == PLUGGED_IN => self.read(name, &secret),
            // Somebody's authority is plugged in: ours waits.
            Some(_) => {}
            None if ours => {
                let text = format!("the Secret {name} is gone; the authority stays in force until the next start");
                self.complain(name, text);
            }
            None => self.mend(name),
        }
    }

    fn read(&mut self, name: &'static str, secret: &Secret) {
        let found = Found { name, version: secret.metadata.resource_version.clone() };
        if found == self.in_force {
            return self.mend(name);
        }
        match secret::read(secret, &self.authority.options) {
            Ok(material) => {
                tracing::info!(secret = name, roots = material.roots.certificates().len(), "the Secret has changed");
                self.in_force = found;
                self.mend(name);
                self.adopt(material);
            }
            Err(error) => self.complain(name, format!("the Secret {name} cannot be used: {}", error_chain(&error))),
        }
    }

    /// Roots first. The new pair signs at once if those who know only the settled roots believe it; else
    /// it waits for them to learn, as long as the old pair is believed meanwhile.
    fn adopt(&mut self, Material { signer, roots }: Material) {
        let old = Arc::clone(&self.authority.signer.borrow());
        let old_is_believed = old.check_trusted_by(&roots).is_ok();
        let new_is_believed = signer.check_trusted_by(&self.settled).is_ok();
        if roots.certificates() != self.authority.roots.borrow().certificates() {
            self.authority.roots.send_replace(roots);
            self.settle_at = Some(Instant::now() + HEAD_START);
        }
        if new_is_believed || !old_is_believed {
            if !old_is_believed {
                tracing::warn!(
                    "certificates of the old authority are worth nothing from now on: connections between old and new ones fail until all are renewed"
                );
            }
            self.next = None;
            self.sign_with(signer);
        } else {
            tracing::info!(wait = ?HEAD_START, "new roots are out; the new authority signs when all have them");
            self.next = Some(signer);
        }
    }

    fn settle(&mut self) {
        self.settle_at = None;
        self.settled = Arc::clone(&self.authority.roots.borrow());
        if let Some(signer) = self.next.take() {
            self.sign_with(signer);
        }
    }

    fn sign_with(&self, signer: Arc<CertificateAuthority>) {
        self.authority.sign_with(signer);
        tracing::info!(secret = self.in_force.name, "authority in force");
    }

    /// In log and metrics, not in readiness: a broken Secret would take away every replica at once.
    fn complain(&mut self, name: &'static str, problem: String) {
        tracing::error!(secret = name, problem, "certificate authority");
        self.broken = Some(name);
        self.authority.gauges.broken(true);
    }

    fn mend(&mut self, name: &'static str) {
        if self.broken == Some(name) {
            self.broken = None;
            self.authority.gauges.broken(false);
        }
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => future::pending().await,
    }
}
