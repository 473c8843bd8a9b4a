//! A hash map that is cheap to copy and change a little: its clone shares all shards, and a write
//! copies only the shard it touches.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// At a hundred thousand entries a write then copies some four hundred of them.
const SHARDS: usize = 256;

#[derive(Debug, Clone)]
pub(crate) struct Sharded<K, V> {
    shards: Box<[Arc<HashMap<K, V>>; SHARDS]>,
    hasher: RandomState,
}

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        let empty = Arc::<HashMap<K, V>>::default();
        Self { shards: Box::new(std::array::from_fn(|_| Arc::clone(&empty))), hasher: RandomState::new() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Sharded<K, V> {
    pub(crate) fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards.get(self.shard_of(key))?.get(key)
    }

    /// Replaces the value of a key by what `change` makes of it; `None` stands for no entry.
    pub(crate) fn change<R>(&mut self, key: &K, change: impl FnOnce(&mut Option<V>) -> R) -> R {
        let at = self.shard_of(key);
        #[expect(clippy::indexing_slicing, reason = "shard_of is below SHARDS, the array's length")]
        let shard = Arc::make_mut(&mut self.shards[at]);
        let mut value = shard.remove(key);
        let result = change(&mut value);
        if let Some(value) = value {
            shard.insert(key.clone(), value);
        }
        result
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    #[expect(clippy::cast_possible_truncation, reason = "any eight bits of the hash will do")]
    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_seen_by_its_copy_alone() {
        let mut first: Sharded<u32, u32> = Sharded::default();
        for key in 0..1000 {
            first.change(&key, |value| *value = Some(key * 2));
        }
        let mut second = first.clone();
        second.change(&7, |value| *value = None);
        second.change(&8, |value| *value = Some(0));

        assert_eq!((first.find(&7), second.find(&7)), (Some(&14), None));
        assert_eq!((first.find(&8), second.find(&8)), (Some(&16), Some(&0)));
        assert_eq!((first.iter().count(), second.iter().count()), (1000, 999));
        let shared = first.shards.iter().zip(second.shards.iter()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert!(shared >= SHARDS - 2, "{shared} shards are shared");
    }
}
