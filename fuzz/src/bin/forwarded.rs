//! The `forwarded` header of a peer: whatever is accepted is written back to an equal one.

#![no_main]

libfuzzer_sys::fuzz_target!(|header: &[u8]| {
    if let Ok(forwarded) = ambit_hbone::forwarded::parse(header) {
        assert_eq!(ambit_hbone::forwarded::parse(forwarded.to_string().as_bytes()), Ok(forwarded));
    }
});
