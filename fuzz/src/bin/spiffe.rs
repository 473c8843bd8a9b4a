//! An identity from a certificate: whatever is accepted is written back letter by letter.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(identity) = text.parse::<ambit_model::Identity>() {
        assert_eq!(identity.to_string(), text);
    }
});
