//! What a namespace says for all that is in it.

use ambit_model::Interner;
use ambit_resources::{Metadata, ObjectId};

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
}

/// What a namespace means by itself.
pub(crate) fn prepare(id: &ObjectId, metadata: &Metadata, texts: &mut Interner<str>) -> Space {
    Space {
        wish: Wish::of(metadata),
        ask: Ask::of(&id.name, metadata, texts),
        labels: waypoint::namespace_labels(&id.name, metadata, texts),
    }
}

/// What is to be said about a namespace.
pub(crate) fn check(metadata: &Metadata, findings: &mut Findings<'_>) {
    enrolment::check_metadata(metadata, findings);
    waypoint::check_metadata(metadata, findings);
}
