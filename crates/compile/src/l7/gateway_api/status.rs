//! What is to be said to routes of each of their parents: data for whoever writes it into their statuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ambit_model::{Service, ServiceKey};
use ambit_resources::{Kind, ObjectId};

use super::Route;
use super::admission::{Admission, Refused};
use super::parents::Parent;
use super::problem::RouteProblem;
use super::references::Lookup;
use crate::l7::directory::Directory;
use crate::l7::targets::Target;
use crate::l7::{L7Options, L7Problem};
use crate::{Issue, Problem};

/// What is to be said to a route, of those of its parents that are of this waypoint, and of services that are not
/// there at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteStatus {
    /// By parent, in the route's order.
    pub parents: Vec<ParentStatus>,
}

/// What is to be said of one parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentStatus {
    /// Its place in `spec.parentRefs`.
    pub parent: usize,
    /// Whether the route is in force there.
    pub accepted: RouteCondition<Accepted>,
    /// Whether all it refers to can be used.
    pub resolved_refs: RouteCondition<ResolvedRefs>,
    /// Why some of its rules are answered with an error, though the others are in force.
    pub partially_invalid: Option<String>,
}

/// A condition: its reason says whether it is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCondition<R> {
    /// The reason.
    pub reason: R,
    /// For people; may be empty.
    pub message: String,
}

/// Whether a route is in force; in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the API, one by one")]
pub enum Accepted {
    Accepted,
    NoMatchingParent,
    NotAllowedByListeners,
    UnsupportedValue,
    IncompatibleFilters,
    Conflicted,
}

/// Whether all that a route refers to can be used; in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the API, one by one")]
pub enum ResolvedRefs {
    ResolvedRefs,
    RefNotPermitted,
    InvalidKind,
    BackendNotFound,
}

impl Accepted {
    /// Whether the condition is true.
    #[must_use]
    pub fn is_true(self) -> bool {
        self == Self::Accepted
    }
}

impl ResolvedRefs {
    /// Whether the condition is true.
    #[must_use]
    pub fn is_true(self) -> bool {
        self == Self::ResolvedRefs
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ResolvedRefs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What is known when statuses are written.
pub(crate) struct Known<'a> {
    pub(crate) options: &'a L7Options,
    pub(crate) directory: &'a Directory,
    /// The services of the waypoint.
    pub(crate) bound: &'a BTreeSet<ServiceKey>,
    pub(crate) admission: &'a Admission,
    /// The ports that the route did not get, by service.
    pub(crate) lost: &'a dyn Fn(&ServiceKey) -> Option<&'a BTreeMap<u16, Kind>>,
    /// Why the route is not in force as it is written.
    pub(crate) refused: Option<RouteCondition<Accepted>>,
}

/// Why a route with errors is not in force.
pub(crate) fn why_refused<'i>(issues: impl IntoIterator<Item = &'i Issue>) -> Option<RouteCondition<Accepted>> {
    let first = issues.into_iter().find(|issue| issue.is_error())?;
    let incompatible = matches!(&first.problem, Problem::L7(L7Problem::Exclusive { .. }));
    let reason = if incompatible { Accepted::IncompatibleFilters } else { Accepted::UnsupportedValue };
    Some(RouteCondition { reason, message: format!("{}: {}", first.field, first.problem) })
}

impl Route {
    /// What is to be said to it; nothing where that is none of this waypoint's business.
    pub(crate) fn status(&self, id: &ObjectId, known: &Known<'_>) -> Option<RouteStatus> {
        let parents = self.parents.iter().filter_map(|parent| self.parent_status(id, parent, known));
        let parents: Vec<_> = parents.collect();
        (!parents.is_empty()).then_some(RouteStatus { parents })
    }

    fn parent_status(&self, id: &ObjectId, parent: &Parent, known: &Known<'_>) -> Option<ParentStatus> {
        let attached = attached(id, parent, known)?;
        let unsupported = self.unsupported();
        let filters = |problem: &&RouteProblem| matches!(problem, RouteProblem::UnsupportedFilter { .. });
        let bad: Vec<_> = unsupported.iter().copied().flatten().filter(filters).collect();
        let first = bad.first().map(ToString::to_string);
        let all_bad = first.is_some() && bad.len() == unsupported.len();
        let accepted = match (attached, &known.refused) {
            (Err(condition), _) => condition,
            (Ok(()), Some(refused)) => refused.clone(),
            (Ok(()), None) if all_bad => {
                RouteCondition { reason: Accepted::UnsupportedValue, message: first.clone().unwrap_or_default() }
            }
            (Ok(()), None) => RouteCondition { reason: Accepted::Accepted, message: String::new() },
        };
        let partially_invalid = first.filter(|_| !all_bad);
        let resolved_refs = self.resolved(id, parent, known);
        Some(ParentStatus { parent: parent.at, accepted, resolved_refs, partially_invalid })
    }

    fn resolved(&self, id: &ObjectId, parent: &Parent, known: &Known<'_>) -> RouteCondition<ResolvedRefs> {
        let grants = (parent.target == Target::Waypoint).then_some(known.admission);
        let with = Lookup { directory: known.directory, grants, from: id };
        let problems = self.references().into_iter().filter_map(|reference| reference.find(&with).err());
        let unsupported = self.unsupported().into_iter().flatten().cloned();
        let reason = |problem: &RouteProblem| match problem {
            RouteProblem::NotGranted { .. } => Some(ResolvedRefs::RefNotPermitted),
            RouteProblem::UnknownKind { .. } => Some(ResolvedRefs::InvalidKind),
            RouteProblem::NoBackend { .. } | RouteProblem::NoBackendPort { .. } => Some(ResolvedRefs::BackendNotFound),
            RouteProblem::UnsupportedFilter { .. }
            | RouteProblem::Conflict { .. }
            | RouteProblem::NoParent { .. }
            | RouteProblem::NoParentPort { .. }
            | RouteProblem::NotAllowed { .. }
            | RouteProblem::RoutedOtherwise { .. }
            | RouteProblem::NoAuthorities { .. } => None,
        };
        let mut found = problems.chain(unsupported).filter_map(|problem| Some((reason(&problem)?, problem)));
        match found.next() {
            Some((reason, problem)) => RouteCondition { reason, message: problem.to_string() },
            None => RouteCondition { reason: ResolvedRefs::ResolvedRefs, message: String::new() },
        }
    }
}

/// Whether a route is attached to a parent; nothing for one that is another waypoint's.
fn attached(id: &ObjectId, parent: &Parent, known: &Known<'_>) -> Option<Result<(), RouteCondition<Accepted>>> {
    let no = |reason, problem: RouteProblem| Some(Err(RouteCondition { reason, message: problem.to_string() }));
    let services: Vec<&Service> = match (&parent.target, parent.service(known.options)) {
        (Target::Waypoint, _) => {
            let waypoint = &known.options.waypoint;
            let place = (parent.section.as_deref(), parent.port);
            return match known.admission.attach(id, &waypoint.namespace, place) {
                Ok(()) => Some(Ok(())),
                Err(Refused::NoListener) => {
                    no(Accepted::NoMatchingParent, RouteProblem::NoParentPort { parent: parent.shown() })
                }
                Err(Refused::NotAllowed) => {
                    no(Accepted::NotAllowedByListeners, RouteProblem::NotAllowed { waypoint: waypoint.clone() })
                }
            };
        }
        (_, Some(key)) => {
            let Some(service) = known.directory.service(&key) else {
                return no(Accepted::NoMatchingParent, RouteProblem::NoParent { parent: parent.shown() });
            };
            known.bound.contains(&key).then_some(&**service).into_iter().collect()
        }
        (Target::Service(..), None) => Vec::new(),
        (Target::Entry(namespace, name), None) => {
            let bound = known.bound.iter().filter(|key| key.namespace == *namespace);
            let services = bound.filter_map(|key| known.directory.service(key)).map(|service| &**service);
            services.filter(|service| service.name == *name).collect()
        }
    };
    if services.is_empty() {
        return None;
    }
    let asked: Vec<_> = services.iter().map(|service| (&service.key, parent.ports(service))).collect();
    if asked.iter().all(|(_, ports)| ports.is_empty()) {
        return no(Accepted::NoMatchingParent, RouteProblem::NoParentPort { parent: parent.shown() });
    }
    let lost = asked.iter().flat_map(|(key, ports)| {
        ports.iter().map(|port| (*port, (known.lost)(key).and_then(|lost| lost.get(port)).copied()))
    });
    let lost: Vec<_> = lost.collect();
    match lost.first() {
        Some((port, Some(winner))) if lost.iter().all(|(_, winner)| winner.is_some()) => {
            no(Accepted::Conflicted, RouteProblem::Conflict { winner: *winner, port: *port })
        }
        _ => Some(Ok(())),
    }
}
