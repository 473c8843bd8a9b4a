//! The `traceparent` header (W3C Trace Context, level 1).

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Length of a header of version 00.
const LEN: usize = 55;

/// A place in a distributed trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: NonZeroU128,
    parent_id: NonZeroU64,
    flags: u8,
}

/// Why a header is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceParentError {
    /// Not `<version>-<trace id>-<parent id>-<flags>` in lower-case hexadecimal.
    #[error("traceparent is not of the form 00-<32 digits>-<16 digits>-<2 digits>")]
    Form,
    /// Version `ff`, which is forbidden.
    #[error("traceparent has the forbidden version ff")]
    Version,
    /// A trace or parent id of zeros only, which means none.
    #[error("traceparent has an id of zeros")]
    ZeroId,
}

/// Reads a `traceparent`. Of a later version only what version 00 defines is read, as §3.3 asks.
///
/// # Errors
/// When the header breaks the format.
pub fn parse(header: &[u8]) -> Result<TraceParent, TraceParentError> {
    let text = str::from_utf8(header).map_err(|_| TraceParentError::Form)?;
    let mut fields = text.splitn(5, '-');
    let version = hex_field(fields.next(), 2)?;
    let trace_id = hex_field(fields.next(), 32)?;
    let parent_id = hex_field(fields.next(), 16)?;
    let flags = hex_field(fields.next(), 2)?;
    match version {
        0xff => return Err(TraceParentError::Version),
        0 if text.len() != LEN => return Err(TraceParentError::Form),
        _ => {}
    }
    Ok(TraceParent {
        trace_id: NonZeroU128::new(trace_id).ok_or(TraceParentError::ZeroId)?,
        parent_id: u64::try_from(parent_id).ok().and_then(NonZeroU64::new).ok_or(TraceParentError::ZeroId)?,
        flags: u8::try_from(flags).map_err(|_| TraceParentError::Form)?,
    })
}

fn hex_field(field: Option<&str>, digits: usize) -> Result<u128, TraceParentError> {
    let field = field
        .filter(|field| field.len() == digits && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .ok_or(TraceParentError::Form)?;
    u128::from_str_radix(field, 16).map_err(|_| TraceParentError::Form)
}

impl TraceParent {
    /// Begins a trace, not sampled.
    #[must_use]
    pub fn random() -> Self {
        Self { trace_id: rand::random(), parent_id: rand::random(), flags: 0 }
    }
    /// A step below this one in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { parent_id: rand::random(), ..self }
    }
    /// The trace's id.
    #[must_use]
    pub fn trace_id(self) -> u128 {
        self.trace_id.get()
    }
    /// The step above.
    #[must_use]
    pub fn parent_id(self) -> u64 {
        self.parent_id.get()
    }
    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & 1 != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_good_headers() {
        assert_eq!(parse(GOOD.as_bytes()).unwrap().to_string(), GOOD);
        let later = GOOD.replacen("00", "cc", 1) + "-more-of-it";
        assert_eq!(parse(later.as_bytes()).unwrap().to_string(), GOOD);
        let child = parse(GOOD.as_bytes()).unwrap().child();
        assert_eq!(child.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_ne!(child.to_string(), GOOD);
    }

    #[test]
    fn refuses_bad_headers() {
        use TraceParentError::{Form, Version, ZeroId};
        for (header, error) in [
            (String::new(), Form),
            (format!("00-{}", "0".repeat(52)), Form),
            (GOOD.to_uppercase(), Form),
            (GOOD.replace('-', "_"), Form),
            (GOOD.to_owned() + "-x", Form),
            (GOOD.replace("-01", "-1"), Form),
            (GOOD.replace("-01", "-+1"), Form),
            (GOOD.replacen("00", "ff", 1), Version),
            (GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), ZeroId),
            (GOOD.replace("b7ad6b7169203331", &"0".repeat(16)), ZeroId),
        ] {
            assert_eq!(parse(header.as_bytes()), Err(error), "{header}");
        }
    }

    #[test]
    fn random_ids_read_back() {
        let made = TraceParent::random();
        assert_eq!(parse(made.to_string().as_bytes()), Ok(made));
    }

    proptest! {
        #[test]
        fn never_panics(header: Vec<u8>) {
            _ = parse(&header);
        }

        #[test]
        fn never_panics_near_the_form(header in "[0-9a-f]{0,3}(-[0-9a-f-]{0,33}){0,5}") {
            _ = parse(header.as_bytes());
        }
    }
}
