//! The `baggage` header of a peer: whatever is accepted is written back to an equal one, unless escaping
//! its bytes made it longer than a header may be.

#![no_main]

libfuzzer_sys::fuzz_target!(|header: &[u8]| {
    if let Ok(baggage) = ambit_hbone::baggage::parse(header) {
        match ambit_hbone::baggage::parse(baggage.render().as_bytes()) {
            Err(ambit_hbone::baggage::BaggageError::TooLong(_)) => {}
            again => assert_eq!(again, Ok(baggage)),
        }
    }
});
