//! What a connection speaks, by its first bytes: it is found however the bytes are cut, and never taken back.

#![no_main]

use ambit_l7::sniff::{http, tls, unsaid};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for guess in [http, tls, unsaid] {
        let whole = guess(bytes);
        let halfway = guess(bytes.get(..bytes.len() / 2).unwrap_or_default());
        if halfway.is_some() {
            assert_eq!(halfway, whole, "{}", bytes.escape_ascii());
        }
    }
});
