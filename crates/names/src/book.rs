//! What is known of each name, and when it is looked up again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{canonical_ip, is_elsewhere};
use ambit_sys::ResolveError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Look-ups at a time; the rest waits.
const MOST_AT_ONCE: usize = 16;

/// Addresses of one name; more are left out.
const MOST_ADDRESSES: usize = 64;

/// How long names that nobody has answered yet are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon a name is looked up again after the first time in vain; later ones double it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

type Answer = Result<Vec<IpAddr>, ResolveError>;

/// What was found for a name, other than before. There may be no such name: then it is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name.
    pub name: Arc<str>,
    /// Its addresses, in order.
    pub addresses: Arc<[IpAddr]>,
}

/// The names that are looked up, by `look_up`.
#[derive(Debug)]
pub struct Book<L> {
    look_up: L,
    refresh: Duration,
    /// When the first answers are no longer waited for.
    patience_ends: Instant,
    pages: BTreeMap<Arc<str>, Page>,
    running: JoinSet<(Arc<str>, Answer)>,
}

#[derive(Debug)]
struct Page {
    /// Nothing before there was an answer.
    found: Option<Arc<[IpAddr]>>,
    /// When it is to be looked up; nothing while it is.
    due: Option<Instant>,
    /// Times in a row that it was looked up in vain.
    vain: u32,
}

impl<L, F> Book<L>
where
    L: Fn(Arc<str>) -> F,
    F: Future<Output = Answer> + Send + 'static,
{
    /// One without names. What was found is looked up again after `refresh`.
    pub fn new(refresh: Duration, look_up: L) -> Self {
        let patience_ends = Instant::now() + PATIENCE;
        Self { look_up, refresh, patience_ends, pages: BTreeMap::new(), running: JoinSet::new() }
    }

    /// The names that are to be looked up from now on. Gives those that no longer are.
    pub fn want(&mut self, names: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        for name in names {
            let page = || Page { found: None, due: Some(Instant::now()), vain: 0 };
            self.pages.entry(Arc::clone(name)).or_insert_with(page);
        }
        let gone: Vec<_> = self.pages.keys().filter(|name| !names.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| drop(self.pages.remove(name)));
        gone
    }

    /// Whether each name was looked up once, were it in vain, or had its time: whose name servers are silent must not
    /// hold everybody up.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has_waited = Instant::now() >= self.patience_ends;
        has_waited || self.pages.values().all(|page| page.found.is_some() || page.vain > 0)
    }

    /// Looks names up until one has another answer, or the book is complete. Nothing is lost where this is given up.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            self.start();
            let waiting = self.running.len() < MOST_AT_ONCE;
            let due = self.pages.values().filter_map(|page| page.due).min().filter(|_| waiting);
            tokio::select! {
                Some(Ok((name, answer))) = self.running.join_next() => {
                    let was_complete = self.is_complete();
                    let found = self.note(&name, answer);
                    if found.is_some() || (!was_complete && self.is_complete()) {
                        return found;
                    }
                }
                () = sleep_until(self.patience_ends), if !self.is_complete() => return None,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Starts what is due, the longest due first: names that nobody answers must not take the turns of the others.
    fn start(&mut self) {
        let now = Instant::now();
        while self.running.len() < MOST_AT_ONCE {
            let due = self.pages.iter_mut().filter(|(_, page)| page.due.is_some_and(|due| due <= now));
            let Some((name, page)) = due.min_by_key(|(_, page)| page.due) else { return };
            page.due = None;
            let (name, answer) = (Arc::clone(name), (self.look_up)(Arc::clone(name)));
            self.running.spawn(async move { (name, answer.await) });
        }
    }

    /// Takes an answer down. What was found before outlives that nobody can say any more, but not that there is no
    /// such name.
    fn note(&mut self, name: &Arc<str>, answer: Answer) -> Option<Found> {
        let page = self.pages.get_mut(name)?;
        page.vain = answer.as_ref().err().map_or(0, |error| {
            if page.vain == 0 {
                tracing::warn!(%name, %error, "cannot look up a host name of an endpoint");
            }
            page.vain.saturating_add(1)
        });
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(page.vain.saturating_sub(1)));
        page.due = Some(Instant::now() + if page.vain > 0 { pause.min(self.refresh) } else { self.refresh });
        let addresses = match answer {
            Ok(addresses) => usable(addresses),
            Err(ResolveError::NoSuchName) => Arc::default(),
            Err(ResolveError::Unavailable { .. }) => return None,
        };
        let is_new = page.found.as_ref() != Some(&addresses);
        page.found = Some(Arc::clone(&addresses));
        is_new.then(|| Found { name: Arc::clone(name), addresses })
    }
}

/// In order, since name servers shuffle them, and only what can be somebody else's.
fn usable(mut addresses: Vec<IpAddr>) -> Arc<[IpAddr]> {
    addresses.retain(|ip| is_elsewhere(*ip) && !is_link_local(*ip));
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    addresses.into()
}

/// No name outside means such an address honestly: in a cloud, whoever asks there is told the machine's own secrets.
fn is_link_local(ip: IpAddr) -> bool {
    match canonical_ip(ip) {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
