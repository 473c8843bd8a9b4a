//! The CNI plugin's standard input: any text is read to its end, and a result that is passed on is to the
//! letter what came.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = ambit_cni::NetworkConfig::parse(text.as_bytes()) {
        if let Some(previous) = config.previous {
            assert!(text.contains(previous.text()), "not what came");
            // Whether it is a result or not.
            let _ = previous.addresses();
        }
    }
});
