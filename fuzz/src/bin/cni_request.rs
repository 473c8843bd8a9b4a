//! What comes to the agent's CNI socket: whatever is taken is written back to an equal one, and fits into a
//! message.

#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    if let Ok(request) = ambit_cni::Request::parse(message) {
        let written = serde_json::to_vec(&request).expect("a request can be written");
        assert!(written.len() <= ambit_cni::MAX_MESSAGE, "longer than any message");
        assert_eq!(ambit_cni::Request::parse(&written).expect("what was taken is taken again"), request);
    }
});
