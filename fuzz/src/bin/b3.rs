//! B3 contexts of a peer, in one header or in several: whatever is accepted with its ids is written back to an equal
//! one.
//!
//! Lines: `b3`, `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled`, `x-b3-flags`.

#![no_main]

use ambit_l7::telemetry::{B3, Decision};
use http::{HeaderMap, HeaderName, HeaderValue};

const NAMES: [&str; 5] = ["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"];

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.into_iter().zip(text.lines()) {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let Some(found) = B3::read(&headers).filter(|found| found.ids.is_some()) else { return };
    let decided = B3 { decision: found.decision.or(Some(Decision::No)), ..found };
    decided.write(None, &mut headers);
    assert_eq!(B3::read(&headers), Some(decided));
});
