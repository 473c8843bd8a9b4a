//! A network's list of plugins: what is put into it comes out again without a trace, and a second time
//! changes nothing. A plugin's file becomes a list that can be edited.

#![no_main]

use ambit_cni::conflist;

const ENTRY: &str = r#"{"type":"ambit-cni","socket":"/s"}"#;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(Some(edited)) = conflist::insert(text, ENTRY) {
        assert_eq!(conflist::insert(&edited, ENTRY).expect("a list"), None, "edited twice");
        let before = conflist::remove(text).expect("a list").unwrap_or_else(|| text.to_owned());
        assert_eq!(conflist::remove(&edited).expect("a list"), Some(before), "a trace was left");
    }
    if let Ok(list) = conflist::from_single(text, ENTRY) {
        assert_eq!(conflist::plugins(&list).expect("a list"), 2, "a plugin and ours");
    }
});
