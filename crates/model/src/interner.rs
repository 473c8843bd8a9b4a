//! Equal values share one allocation: a namespace's thousand pods need its name once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Fewer values than this are not worth a sweep.
const FIRST_SWEEP: usize = 1024;

/// The values in use, each once. What nobody uses any more is dropped when the number of values has
/// doubled.
#[derive(Debug)]
pub struct Interner<T: ?Sized> {
    known: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    /// The one allocation of a value.
    #[must_use]
    pub fn share<V: Borrow<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        if let Some(known) = self.known.get(value.borrow()) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.known.len() * 2);
        }
        let value = value.into();
        self.known.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut interner = Interner::<str>::default();
        let shop = interner.share("shop");
        assert!(Arc::ptr_eq(&shop, &interner.share(Arc::<str>::from("shop"))));
        for n in 0..10 * FIRST_SWEEP {
            drop(interner.share(n.to_string().as_str()));
        }
        assert!(interner.known.len() <= FIRST_SWEEP);
        assert!(Arc::ptr_eq(&shop, &interner.share("shop")));
    }
}
