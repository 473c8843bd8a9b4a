//! The head of a request, a line each: method and target, then headers. What is read of it reads the same again.

#![no_main]

use ambit_l7::PathNormalization;
use ambit_l7::head::{authority, one_length, take_connection, target};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Version};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = read(text);
});

fn read(text: &str) -> Option<()> {
    let mut lines = text.lines();
    let (method, to) = lines.next()?.split_once(' ')?;
    let version = if method.len() % 2 == 0 { Version::HTTP_2 } else { Version::HTTP_11 };
    let mut request = Request::builder().method(method).uri(to).version(version);
    for (name, value) in lines.take(64).filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    let mut parts = request.body(()).ok()?.into_parts().0;
    take_connection(&mut parts.headers);
    assert!(!parts.headers.contains_key(CONNECTION));
    one_length(&parts).ok()?;
    assert!(count(&parts.headers) <= 1);
    let authority = authority(&parts, "asked").ok()?;
    assert!(!authority.as_str().contains(['@', '/']) && parts.headers.get_all(HOST).iter().count() <= 1);
    for how in [PathNormalization::None, PathNormalization::default()] {
        let Ok(once) = target(&parts.uri, &authority, how) else { continue };
        assert_eq!(once.authority(), Some(&authority));
        assert_eq!(target(&once, &authority, how).ok(), Some(once), "{text:?}");
    }
    Some(())
}

fn count(headers: &HeaderMap) -> usize {
    [CONTENT_LENGTH, TRANSFER_ENCODING].iter().map(|name| headers.get_all(name).iter().count()).sum()
}
