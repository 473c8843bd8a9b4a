//! Contexts of traces: what came with a request, whether it is traced, and what goes on with it.

use std::num::{NonZeroU64, NonZeroU128};

use ambit_hbone::traceparent;
use ambit_l7::telemetry::{B3, Contexts, Decision, Tracing};
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::{Rng, RngExt as _};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The place of a request in a trace.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) trace_id: NonZeroU128,
    /// The span that sent it.
    pub(super) parent: Option<NonZeroU64>,
    /// The waypoint's own.
    pub(super) server: NonZeroU64,
    /// The one that the backend is a part of.
    pub(super) client: NonZeroU64,
    pub(super) decision: Decision,
    pub(super) is_short: bool,
    pub(super) state: Option<HeaderValue>,
}

impl Trace {
    /// Reads the context that came, decides where nobody has, and writes the context that goes on.
    pub(super) fn begin(tracing: &Tracing, headers: &mut HeaderMap, rng: &mut impl Rng) -> Self {
        let came = Came::read(tracing.contexts, headers);
        let decision = came.decision.unwrap_or_else(|| decide(tracing, headers, rng));
        let short = tracing.short_ids && came.ids.is_none();
        let (trace_id, parent) = match came.ids {
            Some((trace, span)) => (trace, Some(span)),
            None if short => (NonZeroU128::from(rng.random::<NonZeroU64>()), None),
            None => (rng.random(), None),
        };
        let trace = Self {
            trace_id,
            parent,
            server: rng.random(),
            client: rng.random(),
            decision,
            is_short: short || came.is_short,
            state: headers.get(TRACESTATE).filter(|_| came.by_w3c).cloned(),
        };
        if tracing.propagate {
            trace.write(tracing.contexts, came.is_single, headers);
        }
        trace
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.decision != Decision::No
    }

    /// As logs and collectors write it.
    pub(super) fn id(&self) -> String {
        if self.is_short { format!("{:016x}", self.trace_id) } else { format!("{:032x}", self.trace_id) }
    }

    fn write(&self, contexts: Contexts, is_single: bool, headers: &mut HeaderMap) {
        if contexts != Contexts::W3c {
            let ids = Some((self.trace_id, self.client));
            let b3 = B3 { ids, decision: Some(self.decision), is_short: self.is_short, is_single };
            b3.write(Some(self.server), headers);
        }
        if contexts != Contexts::B3 {
            let flags = u8::from(self.is_sampled());
            let text = format!("00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.client);
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(TRACEPARENT, value);
            }
            // It belongs to the context it came with: to another one it says nothing.
            if self.state.is_none() {
                headers.remove(TRACESTATE);
            }
        }
    }
}

/// What came.
#[derive(Debug, Default)]
struct Came {
    ids: Option<(NonZeroU128, NonZeroU64)>,
    decision: Option<Decision>,
    is_short: bool,
    is_single: bool,
    by_w3c: bool,
}

impl Came {
    fn read(contexts: Contexts, headers: &HeaderMap) -> Self {
        let b3 = || {
            let B3 { ids, decision, is_short, is_single } = B3::read(headers)?;
            Some(Self { ids, decision, is_short, is_single, by_w3c: false })
        };
        let w3c = || {
            let parent = traceparent::parse(headers.get(TRACEPARENT)?.as_bytes()).ok()?;
            let ids = NonZeroU128::new(parent.trace_id()).zip(NonZeroU64::new(parent.parent_id()));
            let decision = if parent.is_sampled() { Decision::Yes } else { Decision::No };
            Some(Self { ids, decision: Some(decision), by_w3c: true, ..Self::default() })
        };
        let found = match contexts {
            Contexts::W3c => w3c(),
            Contexts::B3 => b3(),
            Contexts::Both => b3().or_else(w3c),
        };
        found.unwrap_or_default()
    }
}

/// Where in a request's id other proxies say whether it is traced, and what they say.
const REASON: usize = 14;
const SAMPLED: &[u8] = b"9ab";

/// Decides by lot. Where the request's id takes part it is the lot, so that all who see it decide alike.
fn decide(tracing: &Tracing, headers: &mut HeaderMap, rng: &mut impl Rng) -> Decision {
    let by_lot = |lot: u32, of: u32| u64::from(lot % of) * 1_000_000 < u64::from(tracing.sampling) * u64::from(of);
    let id = headers.get(REQUEST_ID).filter(|_| tracing.by_request_id);
    let id = id.and_then(|id| id.to_str().ok()).filter(|id| id.len() == 36);
    let Some(id) = id else {
        return if by_lot(rng.random_range(0..1_000_000), 1_000_000) { Decision::Yes } else { Decision::No };
    };
    let reason = id.as_bytes().get(REASON).copied().unwrap_or_default();
    if SAMPLED.contains(&reason) {
        return Decision::Yes;
    }
    let lot = id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    // In ten-thousandths, as the field's proxies have it: whoever comes next must come to the same.
    if !lot.is_some_and(|lot| by_lot(lot, 10_000)) {
        return Decision::No;
    }
    let mut said = id.to_owned();
    said.replace_range(REASON..=REASON, "9");
    if let Ok(said) = HeaderValue::try_from(said) {
        headers.insert(REQUEST_ID, said);
    }
    Decision::Yes
}

#[cfg(test)]
mod tests;
