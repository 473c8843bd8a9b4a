//! Tokens found good before: a client shows the same one with every request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ambit_jwt::KeySet;
use ambit_l7::{Claims, JwtRule};
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest as hash};

/// Tokens kept by a worker; beyond, all are forgotten and come back as they are used.
const MAX_KEPT: usize = 1024;

/// A token by its hash: as no two have the same, it stands for the signature too.
pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

/// Tokens found good before.
#[derive(Debug, Default)]
pub(super) struct Believed {
    kept: RefCell<HashMap<Key, Entry>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    token: Digest,
    /// By address: [`Entry::rule`] keeps it from being another's.
    rule: *const JwtRule,
}

/// A token found good.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rule: Arc<JwtRule>,
    /// The keys it was found good by: with others it is looked at anew.
    pub(super) keys: Arc<KeySet>,
    /// In seconds since 1970.
    pub(super) until: Option<f64>,
    pub(super) claims: Rc<Claims>,
}

/// The hash of a token.
pub(super) fn digest(token: &str) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(hash(&SHA256, token.as_bytes()).as_ref());
    out
}

impl Believed {
    /// What a token says that is still good.
    pub(super) fn find(&self, token: Digest, rule: &Arc<JwtRule>, keys: &Arc<KeySet>, now: f64) -> Option<Rc<Claims>> {
        let kept = self.kept.borrow();
        let entry = kept.get(&Key { token, rule: Arc::as_ptr(rule) })?;
        let is_good = Arc::ptr_eq(&entry.keys, keys) && entry.until.is_none_or(|until| until > now);
        is_good.then(|| Rc::clone(&entry.claims))
    }

    /// Keeps a token.
    pub(super) fn keep(&self, token: Digest, entry: Entry) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(Key { token, rule: Arc::as_ptr(&entry.rule) }, entry);
    }
}
