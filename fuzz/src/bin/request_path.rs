//! The path of a request: what is accepted is normal, and a second time nothing changes, so that a policy and a
//! backend cannot read it in two ways.

#![no_main]

use ambit_l7::PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
use ambit_l7::normalise;

libfuzzer_sys::fuzz_target!(|path: &str| {
    assert_eq!(normalise(path, None).as_deref(), Ok(path));
    for how in [Base, MergeSlashes, DecodeAndMergeSlashes] {
        let Ok(once) = normalise(path, how) else { continue };
        assert_eq!(normalise(&once, how).as_deref(), Ok(&*once), "{how:?}");
        if once.is_empty() || once == "*" {
            continue;
        }
        assert!(once.starts_with('/') && !once.contains('\\'), "{once}");
        let lower = once.to_ascii_lowercase().replace("%2e", ".");
        assert!(lower.split('/').all(|element| element != "." && element != ".."), "{once}");
        assert!(how == Base || !once.contains("//"), "{once}");
        assert!(how != DecodeAndMergeSlashes || !(lower.contains("%2f") || lower.contains("%5c")), "{once}");
    }
});
