//! The `traceparent` header of a peer: whatever is accepted is written back to an equal one.

#![no_main]

libfuzzer_sys::fuzz_target!(|header: &[u8]| {
    if let Ok(parent) = ambit_hbone::traceparent::parse(header) {
        assert_eq!(ambit_hbone::traceparent::parse(parent.to_string().as_bytes()), Ok(parent));
    }
});
