//! A PROXY protocol header and what follows it: whatever is accepted is written back to an equal one.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, length)) = ambit_hbone::proxy_protocol::parse(bytes) {
        assert!(length <= bytes.len(), "a header longer than what was read");
        let rendered = header.render();
        assert_eq!(ambit_hbone::proxy_protocol::parse(&rendered), Ok((header, rendered.len())));
    }
});
