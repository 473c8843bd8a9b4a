//! Which replica leads: the holder of a Lease. The leader writes statuses, and nothing else hangs on it: two
//! leaders for a moment write the same twice.

mod lease;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::error_chain;
use lease::{Candidate, LEASE_TIME, Step};

/// The Lease's name.
const NAME: &str = "ambitd";
/// How often the Lease is looked at, and renewed by its holder.
const PERIOD: Duration = Duration::from_secs(5);
/// Longest wait for the API server's answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Takes part in the election until `stop`; then lets go of the Lease, so that another need not wait for it to
/// run out.
pub(crate) struct Election {
    /// The Leases of the control plane's namespace.
    leases: Api<Lease>,
    candidate: Candidate,
    leads: watch::Sender<bool>,
    gauge: Gauge,
}

impl Election {
    /// An election in `namespace`, in which this replica goes by `name`.
    pub(crate) fn new(client: Client, namespace: &str, name: &str, gauge: Gauge) -> Self {
        // A container that starts again is another candidate: it knows nothing of what it led before.
        let me = format!("{name}_{:08x}", rand::random::<u32>());
        Self {
            leases: Api::namespaced(client, namespace),
            candidate: Candidate::new(me),
            leads: watch::Sender::new(false),
            gauge,
        }
    }

    /// Whether this replica leads.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            match tokio::time::timeout(ANSWER, self.step()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = error_chain(&error), "cannot look after the Lease"),
                Err(_) => tracing::warn!("the API server takes too long to answer for the Lease"),
            }
            self.show(self.candidate.leads(Instant::now()));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        if *self.leads.borrow() {
            self.show(false);
            // Where it cannot be let go of, it runs out.
            let _runs_out = tokio::time::timeout(ANSWER, self.release()).await;
        }
    }

    async fn step(&mut self) -> Result<(), kube::Error> {
        let found = self.leases.get_opt(NAME).await?;
        let asked = Instant::now();
        let written = match self.candidate.step(found.as_ref(), asked) {
            Step::Wait => return Ok(()),
            Step::Create => self.leases.create(&PostParams::default(), &self.claim(None)).await,
            Step::Take => self.replace(&self.claim(found)).await,
        };
        match written {
            Ok(_) => self.candidate.written(asked),
            // Another was faster: the next look shows who.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(NAME).await? else { return Ok(()) };
        if let Some(spec) =
            lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(self.candidate.name()))
        {
            spec.holder_identity = None;
            self.replace(&lease).await?;
        }
        Ok(())
    }

    /// With the resourceVersion it was read with: compare and swap.
    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        self.leases.replace(NAME, &PostParams::default(), lease).await
    }

    fn claim(&self, found: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = found.unwrap_or_default();
        lease.metadata = ObjectMeta { name: Some(NAME.to_owned()), ..lease.metadata };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.candidate.name()) {
            spec.holder_identity = Some(self.candidate.name().to_owned());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        spec.lease_duration_seconds = i32::try_from(LEASE_TIME.as_secs()).ok();
        spec.renew_time = Some(now);
        lease
    }

    fn show(&self, leads: bool) {
        if self.leads.send_if_modified(|shown| std::mem::replace(shown, leads) != leads) {
            self.gauge.set(leads.into());
            tracing::info!(leads, "leadership");
        }
    }
}
