//! Manifests through the compiler: the first half of the text, replaced by the whole. Whatever an object
//! says, it is compiled or refused, and the same objects mean the same again.

#![no_main]

use ambit_compile::Store;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut store = Store::default();
    let half = text.floor_char_boundary(text.len() / 2);
    store.replace_file("fuzz.yaml", text.split_at(half).0);
    store.replace_file("fuzz.yaml", text);
    assert_eq!(store.compile(), store.compile());
    store.remove_file("fuzz.yaml");
    assert_eq!(store.compile(), Store::default().compile());
});
