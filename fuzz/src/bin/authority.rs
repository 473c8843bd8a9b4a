//! The `:authority` a peer puts on a CONNECT: whatever is accepted is written back to an equal one.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(authority) = ambit_hbone::authority::parse(text) {
        assert_eq!(ambit_hbone::authority::parse(&authority.to_string()), Ok(authority));
    }
});
