//! What a namespace says for all that is in it.

use ambit_model::{Interner, LoadBalancingMode};
use ambit_resources::{Metadata, ObjectId};

use crate::distribution;
use crate::enrolment::{self, Wish};
use crate::findings::Findings;
use crate::labels::Labels;
use crate::waypoint::{self, Ask};

/// A namespace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// What it wishes for its pods.
    pub(crate) wish: Wish,
    /// The waypoint all of it is to be behind.
    pub(crate) ask: Ask,
    pub(crate) labels: Labels,
    /// Which endpoints are preferred of services that do not say it themselves.
    pub(crate) distribution: LoadBalancingMode,
}

/// What a namespace means by itself.
pub(crate) fn prepare(id: &ObjectId, metadata: &Metadata, texts: &mut Interner<str>) -> Space {
    Space {
        wish: Wish::of(metadata),
        ask: Ask::of(&id.name, metadata, texts),
        labels: waypoint::namespace_labels(&id.name, metadata, texts),
        distribution: distribution::said("", metadata).unwrap_or_default(),
    }
}

/// What is to be said about a namespace.
pub(crate) fn check(metadata: &Metadata, findings: &mut Findings<'_>) {
    enrolment::check_metadata(metadata, findings);
    waypoint::check_metadata(metadata, findings);
    distribution::check_annotation(metadata, findings);
}
