//! The keys of issuers, for all workers. The worker that first needs a set fetches it, and again from time to time;
//! the others look on.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambit_jwt::KeySet;
use ambit_l7::{JwtRule, KeySource};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::fetch;
use crate::worker::Worker;

/// Keys are fetched no more often than this because of tokens whose key is not known: anybody can make those up.
pub(super) const ASKED_FOR: Duration = Duration::from_secs(30);

/// The keys of all issuers in force.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: Mutex<HashMap<Wanted, Arc<Source>>>,
}

/// Which keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) keys: KeySource,
    pub(super) issuer: Arc<str>,
    /// Longest wait for an answer.
    pub(super) timeout: Duration,
}

impl Wanted {
    fn of(rule: &JwtRule) -> Self {
        Self { keys: rule.keys.clone(), issuer: Arc::clone(&rule.issuer), timeout: rule.timeout }
    }
}

/// Where the keys of an issuer come from, and those that came last.
#[derive(Debug)]
pub(super) struct Source {
    state: watch::Receiver<State>,
    nudge: Arc<Notify>,
}

/// How far it is with the keys of an issuer.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The last good ones.
    pub(super) keys: Option<Arc<KeySet>>,
    /// Whether they are being fetched.
    pub(super) is_fetching: bool,
    /// When they were fetched last, or when that failed.
    pub(super) at: Instant,
}

impl Keys {
    /// Forgets the keys that none of these rules needs.
    pub(super) fn retain(&self, rules: &[&Arc<JwtRule>]) {
        let wanted: HashSet<_> = rules.iter().map(|rule| Wanted::of(rule)).collect();
        self.lock().retain(|known, _| wanted.contains(known));
    }

    fn of(&self, worker: &Rc<Worker>, rule: &JwtRule) -> Arc<Source> {
        let mut known = self.lock();
        Arc::clone(known.entry(Wanted::of(rule)).or_insert_with_key(|wanted| Arc::new(Source::new(worker, wanted))))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Wanted, Arc<Source>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By its rule's address, which stays that rule's as long as it is kept here.
type OfRule = (Arc<JwtRule>, Arc<Source>);

/// The sources of the rules in force, as a worker has looked them up.
#[derive(Debug, Default)]
pub(super) struct Sources {
    found: RefCell<HashMap<*const JwtRule, OfRule>>,
}

impl Sources {
    /// The source of a rule's keys.
    pub(super) fn of(&self, worker: &Rc<Worker>, rule: &Arc<JwtRule>) -> Arc<Source> {
        let mut found = self.found.borrow_mut();
        let entry = found.entry(Arc::as_ptr(rule));
        let (_, source) = entry.or_insert_with(|| (Arc::clone(rule), worker.keys.of(worker, rule)));
        Arc::clone(source)
    }

    /// Forgets what was looked up.
    pub(super) fn forget(&self) {
        self.found.borrow_mut().clear();
    }
}

impl Source {
    fn new(worker: &Rc<Worker>, wanted: &Wanted) -> Self {
        let now = Instant::now();
        let (sender, state) = watch::channel(State { keys: None, is_fetching: true, at: now });
        let nudge = Arc::new(Notify::new());
        match &wanted.keys {
            KeySource::Inline(text) => {
                let keys = KeySet::read(text);
                if let Err(error) = &keys {
                    tracing::warn!(issuer = %wanted.issuer, %error, "the keys of an issuer are of no use");
                }
                sender.send_replace(State { keys: keys.ok().map(Arc::new), is_fetching: false, at: now });
            }
            KeySource::Uri(_) | KeySource::Discovery => {
                spawn_local(fetch::keep(Rc::clone(worker), wanted.clone(), sender, Arc::clone(&nudge)));
            }
        }
        Self { state, nudge }
    }

    /// The keys, where there are any.
    pub(super) fn now(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys.clone()
    }

    /// The keys. Waits for the first ones while they are being fetched.
    pub(super) async fn first(&self, longest: Duration) -> Option<Arc<KeySet>> {
        self.once(longest, |state| state.keys.is_some() || !state.is_fetching).await
    }

    /// Newer keys than these, where there are any or may be by now.
    pub(super) async fn newer(&self, than: &Arc<KeySet>, longest: Duration) -> Option<Arc<KeySet>> {
        let is_newer = |state: &State| state.keys.as_ref().is_some_and(|keys| !Arc::ptr_eq(keys, than));
        let began = {
            let state = self.state.borrow();
            if !is_newer(&state) && !state.is_fetching && state.at.elapsed() < ASKED_FOR {
                return None;
            }
            state.at
        };
        self.nudge.notify_one();
        let over = |state: &State| is_newer(state) || (!state.is_fetching && state.at > began);
        self.once(longest, over).await.filter(|keys| !Arc::ptr_eq(keys, than))
    }

    async fn once(&self, longest: Duration, is_so: impl FnMut(&State) -> bool) -> Option<Arc<KeySet>> {
        let mut state = self.state.clone();
        let state = timeout(longest, state.wait_for(is_so)).await.ok()?.ok()?;
        state.keys.clone()
    }
}
