//! One stream: several subscriptions, one after another.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tonic::Status;

use super::budget::Budget;
use super::subscription::{Answer, Subscription};
use crate::cache::Progress;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::{Cache, Caller, Counters, TypeCounts, TypeUrl};

/// The order of types that changed at once: a policy is known before the workload or service it is for.
const ORDER: [TypeUrl; TypeUrl::ALL.len()] = [
    TypeUrl::TrustBundle,
    TypeUrl::Authorization,
    TypeUrl::Object,
    TypeUrl::Labels,
    TypeUrl::Address,
    TypeUrl::Pod,
    TypeUrl::MeshedNamespace,
];

/// What protects others: additions are told before addresses, removals after. In between there is too much rather than
/// too little, as where a namespace moves from one waypoint to another. An agent's guards are compiled, a waypoint's
/// are the users' objects themselves.
const GUARDS: [TypeUrl; 2] = [TypeUrl::Authorization, TypeUrl::Object];

/// How much of a client's words goes to the log, in characters.
const MAX_LOGGED: usize = 500;

pub(super) struct Session<R> {
    cache: Arc<Cache>,
    counters: Arc<Counters>,
    progress: watch::Receiver<Progress>,
    caller: Caller,
    requests: R,
    subscriptions: HashMap<TypeUrl, Subscription>,
    /// Number of the last answer.
    answers: u64,
}

impl<R> Drop for Session<R> {
    fn drop(&mut self) {
        self.counters.closed();
    }
}

impl<R: Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Unpin> Session<R> {
    pub(super) fn new(cache: Arc<Cache>, counters: Arc<Counters>, caller: Caller, requests: R) -> Self {
        counters.opened();
        let progress = cache.progress();
        Self { cache, counters, progress, caller, requests, subscriptions: HashMap::new(), answers: 0 }
    }

    /// The next answer, once there is one; nothing when the client has ended the stream.
    pub(super) async fn next(mut self) -> Result<Option<(DeltaDiscoveryResponse, Self)>, Status> {
        loop {
            if self.progress.borrow_and_update().synced
                && let Some(answer) = self.answer()?
            {
                return Ok(Some((answer, self)));
            }
            tokio::select! {
                request = self.requests.next() => match request {
                    Some(request) => self.take(request?)?,
                    None => return Ok(None),
                },
                // The cache is ours, too: it does not go away.
                _ = self.progress.changed() => {}
            }
        }
    }

    fn take(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        let Some(type_url) = TypeUrl::parse(&request.type_url) else {
            tracing::debug!(type_url = logged(&request.type_url), "ignored a request for an unknown type");
            return Ok(());
        };
        if !type_url.is_for(&self.caller) {
            return Err(Status::permission_denied("this type is for others, as far as the caller is known"));
        }
        let subscription = self.subscriptions.entry(type_url).or_default();
        if let Some(error) = &request.error_detail
            && subscription.awaits(&request.response_nonce)
        {
            let (caller, error) = (name(&self.caller), logged(&error.message));
            tracing::warn!(%type_url, caller, error, "a client refused resources");
            self.counters.add(type_url, TypeCounts { nacks: 1, ..TypeCounts::default() });
        }
        subscription.take(request, Budget::of(&self.caller).names)
    }

    /// The answer that is due; with several, that of the first type.
    fn answer(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        let place = self.caller.place();
        // Who is of a place has addresses, be it that this stream has not come to them yet.
        let withholds = place.is_some() || self.subscriptions.contains_key(&TypeUrl::Address);
        // Not known to the client before it says so: its guard comes before a workload, not on the way with it.
        let awaits_guards = GUARDS.iter().any(|of| self.subscriptions.get(of).is_some_and(|it| !it.may_be_answered()));
        for type_url in ORDER {
            if type_url == TypeUrl::Address && awaits_guards {
                continue;
            }
            let Some(subscription) = self.subscriptions.get_mut(&type_url).filter(|it| it.may_be_answered()) else {
                continue;
            };
            let withholds = withholds && GUARDS.contains(&type_url);
            let answer = self
                .cache
                .look(type_url, place, |view| subscription.answer(view, withholds).map(|it| (it, view.sequence)));
            if let (Some(answer), sequence) = answer? {
                return Ok(self.response(type_url, answer, sequence));
            }
        }
        let until = self.subscriptions.get(&TypeUrl::Address).and_then(Subscription::taken);
        let Some(until) = until else { return Ok(None) };
        for type_url in GUARDS {
            let subscription = self.subscriptions.get_mut(&type_url).filter(|it| it.may_be_answered());
            if let Some(answer) = subscription.and_then(|it| it.release(until)) {
                return Ok(self.response(type_url, answer, until));
            }
        }
        Ok(None)
    }

    fn response(&mut self, type_url: TypeUrl, answer: Answer, sequence: u64) -> Option<DeltaDiscoveryResponse> {
        self.answers += 1;
        let nonce = self.answers.to_string();
        self.subscriptions.get_mut(&type_url)?.sent(nonce.clone());
        self.counters.add(type_url, counts(&answer));
        Some(DeltaDiscoveryResponse {
            system_version_info: sequence.to_string(),
            resources: answer.resources,
            type_url: type_url.as_str().into(),
            nonce,
            removed_resources: answer.removed,
        })
    }
}

fn name(caller: &Caller) -> String {
    let Caller { namespace, service_account, pod, node, waypoint } = caller;
    let pod = pod.as_ref().map_or("-", |pod| &pod.name);
    let place = match (node, waypoint) {
        (None, Some(waypoint)) => format!("waypoint {waypoint}"),
        (node, _) => format!("node {}", node.as_deref().unwrap_or("-")),
    };
    format!("{namespace}/{service_account}, pod {pod}, {place}")
}

fn counts(answer: &Answer) -> TypeCounts {
    let number = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
    TypeCounts {
        pushes: 1,
        resources: number(answer.resources.len()),
        removed: number(answer.removed.len()),
        bytes: answer.resources.iter().map(Bytes::len).map(number).sum(),
        nacks: 0,
    }
}

fn logged(text: &str) -> &str {
    text.char_indices().nth(MAX_LOGGED).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
