//! The `baggage` header of a peer: whatever is accepted is written back to an equal one.

#![no_main]

libfuzzer_sys::fuzz_target!(|header: &[u8]| {
    if let Ok(baggage) = ambit_hbone::baggage::parse(header) {
        assert_eq!(ambit_hbone::baggage::parse(baggage.render().as_bytes()), Ok(baggage));
    }
});
