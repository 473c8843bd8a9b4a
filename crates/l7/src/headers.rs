//! Changes to headers.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::HeaderChanges;

/// Whether a header is no user's to change: those that say where a message ends and what its connection does,
/// and `host`, which is the request's authority and changed there ([`HeaderChanges::authority`]).
#[must_use]
pub fn is_managed(name: &HeaderName) -> bool {
    const MANAGED: [HeaderName; 7] = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    MANAGED.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

impl HeaderChanges {
    /// Changes the headers of a message; those that are managed stay.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let mine = |name: &HeaderName| !is_managed(name);
        for name in self.remove.iter().filter(|name| mine(name)) {
            headers.remove(name);
        }
        for (name, value) in self.set.iter().filter(|(name, _)| mine(name)) {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in self.add.iter().filter(|(name, _)| mine(name)) {
            headers.append(name.clone(), value.clone());
        }
    }

    /// The authority a request is to have, where these changes set `host`.
    #[must_use]
    pub fn authority(&self) -> Option<&HeaderValue> {
        self.set.iter().rev().find(|(name, _)| name == HOST).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn removals_then_what_is_set_then_what_is_added() {
        let changes = HeaderChanges {
            remove: vec![HeaderName::from_static("a"), HeaderName::from_static("b")],
            set: pairs(&[("b", "set"), ("c", "set")]),
            add: pairs(&[("c", "added"), ("d", "added")]),
        };
        let mut headers: HeaderMap =
            pairs(&[("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("d", "1")]).into_iter().collect();
        changes.apply(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("b", "set"), ("c", "added"), ("c", "set"), ("d", "1"), ("d", "added")]);
    }

    #[test]
    fn where_a_message_ends_is_no_users_to_say() {
        let names = ["connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive", "host"];
        let mut headers = HeaderMap::new();
        let set = names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect();
        HeaderChanges { set, ..Default::default() }.apply(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");

        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1"));
        HeaderChanges { remove: vec![CONTENT_LENGTH], ..Default::default() }.apply(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn host_is_the_authority() {
        let changes = HeaderChanges { set: pairs(&[("host", "a"), ("x", "y"), ("host", "b")]), ..Default::default() };
        assert_eq!(changes.authority().unwrap(), "b");
        assert_eq!(HeaderChanges::default().authority(), None);
    }
}
