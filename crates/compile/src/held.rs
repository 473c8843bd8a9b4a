//! An object in force: what it means by itself, and nothing of how it was written. A hundred thousand
//! of these are kept, so they are small and share what they have in common.

use ambit_resources::{FieldPath, Metadata, Object, Origin, Parsed};

use crate::authorization::{self, Selected};
use crate::enrolment::{self, Wish};
use crate::findings::Findings;
use crate::peer_authentication::{self, Modes};
use crate::service::{self, Frontend};
use crate::shared::Shared;
use crate::workload::{self, Pod};

/// An object in force, and the line it stands on.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) line: u32,
    pub(crate) means: Meaning,
}

/// What an object means by itself.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// Nothing to a node agent.
    Nothing,
    /// What a namespace wishes for its pods.
    Namespace(Wish),
    /// A pod that is a workload.
    Pod(Pod),
    /// A service that is more than a DNS alias.
    Service(Box<Frontend>),
    /// A policy that node agents enforce.
    Authorization(Box<Selected>),
    /// Modes.
    PeerAuthentication(Box<Modes>),
}

impl Held {
    /// What an object means, worth something only where there are no errors among the findings.
    pub(crate) fn of(parsed: &Parsed, shared: &mut Shared, findings: &mut Findings<'_>) -> Self {
        let Parsed { origin, object } = parsed;
        let line = origin.lines.at(&FieldPath::default());
        Self { line, means: Meaning::of(origin, object, shared, findings) }
    }

    /// Takes over from the version before it what did not change, so that it is kept once.
    pub(crate) fn succeed(&mut self, old: Self) {
        match (&mut self.means, old.means) {
            (Meaning::Pod(pod), Meaning::Pod(old)) => pod.succeed(old),
            (Meaning::Service(new), Meaning::Service(old)) if new.service == old.service => new.service = old.service,
            _ => {}
        }
    }
}

impl Meaning {
    fn of(origin: &Origin, object: &Object, shared: &mut Shared, findings: &mut Findings<'_>) -> Self {
        match object {
            Object::Namespace(namespace) => Self::Namespace(wish(&namespace.metadata, findings)),
            Object::ServiceAccount(_) => Self::Nothing,
            Object::Pod(pod) => {
                workload::check(pod, findings);
                workload::prepare(origin, pod, shared).map_or(Self::Nothing, Self::Pod)
            }
            Object::Service(service) => {
                service::check(service, findings);
                service::prepare(origin, service, shared).map_or(Self::Nothing, |it| Self::Service(Box::new(it)))
            }
            Object::AuthorizationPolicy(policy) => authorization::prepare(&origin.id, policy, shared, findings)
                .map_or(Self::Nothing, |it| Self::Authorization(Box::new(it))),
            Object::PeerAuthentication(policy) => {
                peer_authentication::check(policy, findings);
                Self::PeerAuthentication(Box::new(peer_authentication::prepare(policy, shared)))
            }
        }
    }
}

fn wish(metadata: &Metadata, findings: &mut Findings<'_>) -> Wish {
    enrolment::check_metadata(metadata, findings);
    Wish::of(metadata)
}
