//! B3 contexts of traces: in one header, or in several.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use http::{HeaderMap, HeaderName, HeaderValue};

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Whether a trace is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is not.
    No,
    /// It is.
    Yes,
    /// It is, whatever anybody says.
    Debug,
}

/// What came with a request. Ids and decision may come without each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct B3 {
    /// The trace, and the span it is a part of.
    pub ids: Option<(NonZeroU128, NonZeroU64)>,
    /// Whether it is recorded.
    pub decision: Option<Decision>,
    /// Whether the trace's id has 64 bits.
    pub is_short: bool,
    /// Whether it came in one header.
    pub is_single: bool,
}

impl B3 {
    /// Reads what came. What is malformed did not come.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        if let Some(found) = text(&SINGLE).and_then(single) {
            return Some(found);
        }
        let decision = match (text(&FLAGS), text(&SAMPLED)) {
            (Some("1"), _) => Some(Decision::Debug),
            (_, Some(sampled)) => decision(sampled),
            (_, None) => None,
        };
        let ids = text(&TRACE_ID).zip(text(&SPAN_ID)).and_then(|(trace, span)| ids(trace, span));
        let is_short = text(&TRACE_ID).is_some_and(|id| id.len() == 16);
        (ids.is_some() || decision.is_some()).then_some(Self { ids, decision, is_short, is_single: false })
    }

    /// Writes it, in place of what came. `parent` is the span above.
    pub fn write(&self, parent: Option<NonZeroU64>, headers: &mut HeaderMap) {
        for name in [SINGLE, TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED, FLAGS] {
            headers.remove(name);
        }
        let Some((trace, span)) = self.ids else { return };
        let trace = if self.is_short {
            format!("{:016x}", trace.get() & u128::from(u64::MAX))
        } else {
            format!("{trace:032x}")
        };
        let mut put = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        let decision = self.decision.unwrap_or(Decision::No);
        if self.is_single {
            let parent = parent.map(|parent| format!("-{parent:016x}")).unwrap_or_default();
            put(SINGLE, format!("{trace}-{span:016x}-{decision}{parent}"));
            return;
        }
        put(TRACE_ID, trace);
        put(SPAN_ID, format!("{span:016x}"));
        if let Some(parent) = parent {
            put(PARENT_ID, format!("{parent:016x}"));
        }
        match decision {
            Decision::Debug => put(FLAGS, "1".to_owned()),
            Decision::No | Decision::Yes => put(SAMPLED, decision.to_string()),
        }
    }
}

/// `<trace>-<span>-<decision>-<parent>`, of which the last two may be missing; or a decision alone.
fn single(text: &str) -> Option<B3> {
    let mut parts = text.splitn(5, '-');
    let (first, span, said) = (parts.next()?, parts.next(), parts.next());
    let found = match span {
        None => B3 { ids: None, decision: Some(decision(first)?), is_short: false, is_single: true },
        Some(span) => B3 {
            ids: Some(ids(first, span)?),
            decision: said.map(|said| decision(said).ok_or(())).transpose().ok()?,
            is_short: first.len() == 16,
            is_single: true,
        },
    };
    let parent_is_good = parts.next().is_none_or(|parent| hex(parent, &[16]).is_some());
    (parent_is_good && parts.next().is_none()).then_some(found)
}

fn decision(text: &str) -> Option<Decision> {
    match text {
        "0" | "false" => Some(Decision::No),
        "1" | "true" => Some(Decision::Yes),
        "d" => Some(Decision::Debug),
        _ => None,
    }
}

fn ids(trace: &str, span: &str) -> Option<(NonZeroU128, NonZeroU64)> {
    let span = u64::try_from(hex(span, &[16])?).ok()?;
    Some((NonZeroU128::new(hex(trace, &[16, 32])?)?, NonZeroU64::new(span)?))
}

fn hex(text: &str, lengths: &[usize]) -> Option<u128> {
    let is_hex = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "0",
            Self::Yes => "1",
            Self::Debug => "d",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn contexts_are_read() {
        const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
        let ids =
            NonZeroU128::new(0x80f1_98ee_5634_3ba8_64fe_8b2a_57d3_eff7).zip(NonZeroU64::new(0xe457_b5a2_e4d8_6bd1));
        let short = NonZeroU128::new(0x64fe_8b2a_57d3_eff7).zip(NonZeroU64::new(0xe457_b5a2_e4d8_6bd1));
        let single = |text: &str| headers(&[("b3", text)]);
        for (headers, expected) in [
            (single(&format!("{TRACE}-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90")), Some((ids, Some(Decision::Yes)))),
            (single(&format!("{TRACE}-e457b5a2e4d86bd1-0")), Some((ids, Some(Decision::No)))),
            (single(&format!("{TRACE}-e457b5a2e4d86bd1-d")), Some((ids, Some(Decision::Debug)))),
            (single(&format!("{TRACE}-e457b5a2e4d86bd1")), Some((ids, None))),
            (single("64fe8b2a57d3eff7-e457b5a2e4d86bd1-1"), Some((short, Some(Decision::Yes)))),
            (single("0"), Some((None, Some(Decision::No)))),
            (single(""), None),
            (single("x"), None),
            (single(&format!("{TRACE}-e457b5a2e4d86bd1-x")), None),
            (single(&format!("{TRACE}-0000000000000000-1")), None),
            (single(&format!("{TRACE}-e457b5a2e4d86bd1-1-05")), None),
            (single(&format!("{TRACE}-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-")), None),
            (single("+4fe8b2a57d3eff7-e457b5a2e4d86bd1-1"), None),
            (
                headers(&[("x-b3-traceid", TRACE), ("x-b3-spanid", "e457b5a2e4d86bd1"), ("x-b3-sampled", "1")]),
                Some((ids, Some(Decision::Yes))),
            ),
            (
                headers(&[("x-b3-traceid", TRACE), ("x-b3-spanid", "e457b5a2e4d86bd1"), ("x-b3-flags", "1")]),
                Some((ids, Some(Decision::Debug))),
            ),
            (headers(&[("x-b3-traceid", TRACE)]), None),
            (headers(&[("x-b3-sampled", "0")]), Some((None, Some(Decision::No)))),
            (headers(&[]), None),
        ] {
            let found = B3::read(&headers).map(|found| (found.ids, found.decision));
            assert_eq!(found, expected, "{headers:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_in_the_form_in_which_it_came() {
        let ids = NonZeroU128::new(7).zip(NonZeroU64::new(9));
        for (is_single, is_short) in [(false, false), (false, true), (true, false), (true, true)] {
            let context = B3 { ids, decision: Some(Decision::Yes), is_short, is_single };
            let mut written = headers(&[("b3", "0"), ("x-b3-sampled", "0"), ("x-b3-flags", "1")]);
            context.write(NonZeroU64::new(3), &mut written);
            assert_eq!(B3::read(&written), Some(context), "{written:?}");
            assert_eq!(written.contains_key("b3"), is_single);
        }
    }
}
