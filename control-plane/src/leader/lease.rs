//! The rules of the election, without the API server: what to do about a Lease as it was found.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

/// How long a Lease holds after it was renewed.
pub(super) const LEASE_TIME: Duration = Duration::from_secs(15);
/// How long its holder believes that: less, so that it stops before another may begin.
const BELIEF: Duration = Duration::from_secs(12);

/// One who would lead.
#[derive(Debug)]
pub(super) struct Candidate {
    me: String,
    /// When the Lease was last renewed by me.
    renewed: Option<Instant>,
    /// The Lease of another, and when it was first seen so. Clocks of other machines are not compared.
    other: Option<(String, Instant)>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Make it.
    Create,
    /// Write my name, or a new time beside it.
    Take,
    /// Another holds it.
    Wait,
}

impl Candidate {
    pub(super) fn new(me: String) -> Self {
        Self { me, renewed: None, other: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.me
    }

    /// What to do about the Lease as it was found.
    pub(super) fn step(&mut self, found: Option<&Lease>, now: Instant) -> Step {
        let Some(found) = found else { return Step::Create };
        let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder == self.me || holder.is_empty() {
            return Step::Take;
        }
        self.renewed = None;
        let version = found.metadata.resource_version.clone().unwrap_or_default();
        let seconds = found.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let holds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(LEASE_TIME, Duration::from_secs);
        match &self.other {
            Some((seen, since)) if *seen == version => {
                if now.duration_since(*since) >= holds {
                    Step::Take
                } else {
                    Step::Wait
                }
            }
            _ => {
                self.other = Some((version, now));
                Step::Wait
            }
        }
    }

    /// The Lease was written, by a request begun at `begun`.
    pub(super) fn written(&mut self, begun: Instant) {
        (self.renewed, self.other) = (Some(begun), None);
    }

    /// Whether I lead.
    pub(super) fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) < BELIEF)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use kube::api::ObjectMeta;

    use super::*;

    fn lease(holder: Option<&str>, version: &str) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_has_run_out() {
        let start = Instant::now();
        let mut candidate = Candidate::new("me".to_owned());
        for (second, found, expected) in [
            (0, None, Step::Create),
            (0, Some(lease(None, "1")), Step::Take),
            (0, Some(lease(Some(""), "1")), Step::Take),
            (0, Some(lease(Some("other"), "2")), Step::Wait),
            (14, Some(lease(Some("other"), "3")), Step::Wait), // renewed
            (28, Some(lease(Some("other"), "3")), Step::Wait),
            (29, Some(lease(Some("other"), "3")), Step::Take),
            (30, Some(lease(Some("third"), "4")), Step::Wait), // it was faster
            (44, Some(lease(Some("third"), "4")), Step::Wait),
            (45, Some(lease(Some("me"), "5")), Step::Take),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(candidate.step(found.as_ref(), now), expected, "{second} {found:?}");
        }
    }

    #[test]
    fn a_leader_stops_before_another_may_begin() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut candidate = Candidate::new("me".to_owned());
        assert!(!candidate.leads(start));
        candidate.written(start);
        assert!(candidate.leads(after(11)) && !candidate.leads(after(12)));
        candidate.written(after(12));
        assert!(candidate.leads(after(13)));
        // Somebody else holds it after all.
        candidate.step(Some(&lease(Some("other"), "9")), after(13));
        assert!(!candidate.leads(after(13)));
    }
}
