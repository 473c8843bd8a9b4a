//! What a stream wants of one type, and what it has been told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use super::on_demand::These;
use crate::cache::{Encoded, View};
use crate::proto::discovery::DeltaDiscoveryRequest;

/// Longest name, in bytes: the longest of Kubernetes' are 253, and a uid holds two of them.
const MAX_NAME: usize = 1024;
/// All resources there are, as a name.
const ALL: &str = "*";

/// A subscription to one type.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    wants: Wants,
    /// What is told is all that stands up to this place in the cache's order.
    told: u64,
    /// Names to be answered, whether they changed or not.
    asked: BTreeSet<Arc<str>>,
    /// Versions the client held when it came, until the first answer.
    known: Known,
    /// The answer that was not acknowledged yet.
    awaited: Option<String>,
    /// Names of which it is not told yet that they are gone, and up to which place in the order others are to be told
    /// before.
    withheld: BTreeMap<Arc<str>, u64>,
}

/// Versions by name.
pub(super) type Known = BTreeMap<String, String>;

/// What is wanted.
#[derive(Debug, Default)]
enum Wants {
    /// Nothing was said yet.
    #[default]
    Unsaid,
    /// Everything.
    All {
        /// Whether it was told of once.
        told: bool,
    },
    /// These, by name or alias.
    These(These),
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// `Resource`s.
    pub(super) resources: Vec<Bytes>,
    /// Names.
    pub(super) removed: Vec<String>,
}

impl Subscription {
    /// Whether an answer may be sent: there is at most one under way.
    pub(super) fn may_be_answered(&self) -> bool {
        self.awaited.is_none()
    }

    /// An answer is under way.
    pub(super) fn sent(&mut self, nonce: String) {
        self.awaited = Some(nonce);
    }

    /// Whether a request is about the answer that is under way.
    pub(super) fn awaits(&self, nonce: &str) -> bool {
        self.awaited.as_deref() == Some(nonce)
    }

    /// Takes a request; it and those before it may name so many resources.
    pub(super) fn take(&mut self, request: DeltaDiscoveryRequest, max_names: usize) -> Result<(), Status> {
        if self.awaits(&request.response_nonce) {
            self.awaited = None;
        }
        let (subscribe, unsubscribe) = (request.resource_names_subscribe, request.resource_names_unsubscribe);
        let known = &request.initial_resource_versions;
        check(subscribe.iter().chain(known.keys()), max_names)?;
        check(known.values(), max_names)?;
        let all = subscribe.iter().any(|name| name == ALL);
        let not_all = unsubscribe.iter().any(|name| name == ALL);
        if matches!(self.wants, Wants::Unsaid) {
            self.known = request.initial_resource_versions;
            // To name nothing in the first request is the old way to ask for everything.
            let everything = all || subscribe.is_empty();
            self.wants = if everything && !not_all {
                Wants::All { told: false }
            } else {
                Wants::These(These::holding(&self.known))
            };
        } else if all && !not_all {
            self.wants = Wants::All { told: false };
        } else if not_all && matches!(self.wants, Wants::All { .. }) {
            self.wants = Wants::These(These::answered());
        }
        self.subscribe(subscribe, max_names)?;
        self.unsubscribe(&unsubscribe);
        Ok(())
    }

    fn subscribe(&mut self, names: Vec<String>, max_names: usize) -> Result<(), Status> {
        for name in names.into_iter().filter(|name| name != ALL) {
            let name: Arc<str> = name.into();
            if let Wants::These(these) = &mut self.wants {
                these.names.insert(Arc::clone(&name));
            }
            self.asked.insert(name);
        }
        let named = if let Wants::These(these) = &self.wants { these.names.len() } else { 0 };
        if named.max(self.asked.len()) > max_names {
            return Err(Status::resource_exhausted(format!("more than {max_names} names")));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, names: &[String]) {
        for name in names {
            self.asked.remove(name.as_str());
            if let Wants::These(these) = &mut self.wants {
                these.unsubscribe(name);
            }
        }
    }

    /// Up to which place in the order everything was told and taken; nothing while an answer is under way.
    pub(super) fn taken(&self) -> Option<u64> {
        self.may_be_answered().then_some(self.told)
    }

    /// What is to be told now; nothing if nothing is. What is gone may be withheld, to be [released](Self::release).
    pub(super) fn answer(&mut self, view: &View<'_>, withholds: bool) -> Result<Option<Answer>, Status> {
        let first = match &mut self.wants {
            Wants::Unsaid => return Ok(None),
            Wants::All { told } | Wants::These(These { told, .. }) => !std::mem::replace(told, true),
        };
        let oldest = self.withheld.values().min().map_or(self.told, |oldest| self.told.min(*oldest));
        if !first && oldest < view.forgotten {
            return Err(Status::aborted("too far behind: come again with what you hold"));
        }
        let known = std::mem::take(&mut self.known);
        let asked = std::mem::take(&mut self.asked);
        let mut found = Found { known: &known, answers: HashMap::new() };
        match &mut self.wants {
            Wants::These(these) => these.answer(view, (!first).then_some(self.told), &asked, &mut found),
            Wants::All { .. } | Wants::Unsaid => everything(view, (!first).then_some(self.told), &asked, &mut found),
        }
        self.told = view.sequence;
        if withholds {
            found.withhold(view.sequence, &mut self.withheld);
        }
        let answer = found.into_answer();
        Ok((first || !answer.is_empty()).then_some(answer))
    }

    /// What was withheld up to a place in the order; nothing if nothing was.
    pub(super) fn release(&mut self, until: u64) -> Option<Answer> {
        let removed: Vec<_> = self.withheld.extract_if(.., |_, since| *since <= until).collect();
        let removed = removed.into_iter().map(|(name, _)| name.to_string());
        Some(Answer { resources: Vec::new(), removed: removed.collect() }).filter(|answer| !answer.is_empty())
    }
}

/// What has changed since a place in the order, or all there is.
fn everything(view: &View<'_>, since: Option<u64>, asked: &BTreeSet<Arc<str>>, found: &mut Found<'_>) {
    for (name, stored) in view.since(since.unwrap_or(0)) {
        match &stored.resource {
            Some(resource) => found.unless_known(name, resource),
            None if since.is_some() => found.gone(name),
            None => {}
        }
    }
    let is_gone = |name: &&str| view.find(name).is_none() && !view.is_unknown(name);
    found.known.keys().map(String::as_str).filter(is_gone).for_each(|name| found.gone(&name.into()));
    for name in asked {
        let mut resources = view.find(name).into_iter().chain(view.keyed(name)).peekable();
        if resources.peek().is_none() {
            found.gone(name);
        }
        resources.for_each(|(name, resource)| found.unless_known(name, resource));
    }
}

/// What is to be sent, each name once.
#[derive(Debug)]
pub(super) struct Found<'a> {
    known: &'a Known,
    /// Nothing for what is gone.
    answers: HashMap<Arc<str>, Option<Bytes>>,
}

impl Found<'_> {
    /// A resource, unless the client came with this version of it.
    pub(super) fn unless_known(&mut self, name: &Arc<str>, resource: &Encoded) {
        if self.known.get(&**name) != Some(&resource.version) {
            self.answers.insert(Arc::clone(name), Some(resource.bytes.clone()));
        }
    }

    pub(super) fn gone(&mut self, name: &Arc<str>) {
        self.answers.insert(Arc::clone(name), None);
    }

    /// Sets aside what is gone; what has come again is not gone.
    fn withhold(&mut self, sequence: u64, withheld: &mut BTreeMap<Arc<str>, u64>) {
        self.answers.retain(|name, resource| {
            if resource.is_some() {
                withheld.remove(name);
            } else {
                withheld.insert(Arc::clone(name), sequence);
            }
            resource.is_some()
        });
    }

    fn into_answer(self) -> Answer {
        let mut answer = Answer::default();
        for (name, resource) in self.answers {
            match resource {
                Some(bytes) => answer.resources.push(bytes),
                None => answer.removed.push(name.to_string()),
            }
        }
        answer
    }
}

impl Answer {
    fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }
}

/// Whether these are so many at most, and none of them too long.
fn check<'a>(names: impl Iterator<Item = &'a String>, max_names: usize) -> Result<(), Status> {
    let mut number = 0;
    for name in names {
        number += 1;
        if name.len() > MAX_NAME {
            return Err(Status::invalid_argument(format!("a name has more than {MAX_NAME} bytes")));
        }
    }
    if number > max_names {
        return Err(Status::resource_exhausted(format!("more than {max_names} names")));
    }
    Ok(())
}
