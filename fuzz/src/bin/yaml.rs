//! A file of manifests: any text is read to its end, and every accepted object comes without errors.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let file = ambit_resources::parse_file("fuzz.yaml", text);
    let accepted = file.objects.len();
    assert!(accepted + file.refused.len() <= text.len() + 1, "more objects than a text can name");
});
