//! The resources of one type.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::{Audience, Encoded, Entry};

/// The resources of one type, by who is told of them.
#[derive(Debug, Default)]
pub(super) struct Tables {
    everyone: Table,
    places: HashMap<Arc<str>, Table>,
    /// The place that is told of a name, of those that are not for everyone.
    homes: HashMap<Arc<str>, Arc<str>>,
}

/// Resources and the order in which they came about.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<Arc<str>, Stored>,
    /// Each name once, at its last change.
    log: BTreeMap<u64, Arc<str>>,
    by_key: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names of which it is not known whether they are there: who has one keeps it.
    unknown: HashSet<Arc<str>>,
}

/// A resource, or what is remembered of one.
#[derive(Debug)]
pub(crate) struct Stored {
    sequence: u64,
    /// Under what else it is found.
    pub(crate) keys: Box<[Arc<str>]>,
    /// Nothing once it is gone.
    pub(crate) resource: Option<Encoded>,
}

/// What a caller may see of one type.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(super) tables: [Option<&'a Table>; 2],
    /// Number of the last change.
    pub(crate) sequence: u64,
    /// Removals up to this one may be forgotten.
    pub(crate) forgotten: u64,
}

type Buried = (u64, Audience, Arc<str>);

impl Tables {
    /// Takes a change, and names the removals in it. Who was told of a name and is not its audience any more
    /// is told that it is gone.
    pub(super) fn put(&mut self, entry: Entry, sequence: &mut u64) -> Vec<Buried> {
        if entry.unknown {
            self.may_be_there(entry);
            return Vec::new();
        }
        let home = match self.homes.get(&entry.name) {
            Some(place) => Audience::Only(Arc::clone(place)),
            None => Audience::Everyone,
        };
        let mut buried = Vec::new();
        if entry.resource.is_none() || home != entry.audience {
            let removed = self.table(&home).is_some_and(|table| table.remove(&entry.name, sequence));
            self.homes.remove(&entry.name);
            buried.extend(removed.then(|| (*sequence, home, Arc::clone(&entry.name))));
        }
        let Some(resource) = entry.resource else { return buried };
        let table = match entry.audience {
            Audience::Everyone => &mut self.everyone,
            Audience::Only(place) => {
                self.homes.insert(Arc::clone(&entry.name), Arc::clone(&place));
                self.places.entry(place).or_default()
            }
        };
        table.put(entry.name, entry.keys, resource, sequence);
        buried
    }

    /// What is known stays so.
    fn may_be_there(&mut self, Entry { name, audience, .. }: Entry) {
        if let Audience::Only(place) = audience
            && !self.homes.contains_key(&name)
        {
            self.homes.insert(Arc::clone(&name), Arc::clone(&place));
            self.places.entry(place).or_default().unknown.insert(name);
        }
    }

    /// Drops what is remembered of a removed name, unless it has come again.
    pub(super) fn forget(&mut self, audience: &Audience, name: &str, sequence: u64) {
        let Some(table) = self.table(audience) else { return };
        if table.log.remove(&sequence).is_some() {
            table.entries.remove(name);
        }
        if let Audience::Only(place) = audience
            && table.entries.is_empty()
            && table.unknown.is_empty()
        {
            self.places.remove(place);
        }
    }

    pub(super) fn of_everyone(&self) -> Option<&Table> {
        Some(&self.everyone)
    }

    pub(super) fn of_place(&self, place: &str) -> Option<&Table> {
        self.places.get(place)
    }

    fn table(&mut self, audience: &Audience) -> Option<&mut Table> {
        match audience {
            Audience::Everyone => Some(&mut self.everyone),
            Audience::Only(place) => self.places.get_mut(place),
        }
    }
}

impl Table {
    fn put(&mut self, name: Arc<str>, keys: Vec<Arc<str>>, resource: Encoded, sequence: &mut u64) {
        self.unknown.remove(&name);
        let same = |it: &Stored| it.resource.as_ref() == Some(&resource) && *it.keys == *keys;
        if self.entries.get(&name).is_some_and(same) {
            return;
        }
        for key in &keys {
            self.by_key.entry(Arc::clone(key)).or_default().insert(Arc::clone(&name));
        }
        self.replace(name, Stored { sequence: next(sequence), keys: keys.into(), resource: Some(resource) });
    }

    /// Whether there was such a resource, or may have been.
    fn remove(&mut self, name: &Arc<str>, sequence: &mut u64) -> bool {
        let there = self.unknown.remove(name) || self.entries.get(name).is_some_and(|it| it.resource.is_some());
        if there {
            let tombstone = Stored { sequence: next(sequence), keys: Box::default(), resource: None };
            self.replace(Arc::clone(name), tombstone);
        }
        there
    }

    /// Puts it in the place of what was there, to the end of the log.
    fn replace(&mut self, name: Arc<str>, stored: Stored) {
        self.log.insert(stored.sequence, Arc::clone(&name));
        let keys = stored.keys.clone();
        let Some(before) = self.entries.insert(Arc::clone(&name), stored) else { return };
        self.log.remove(&before.sequence);
        for key in before.keys.iter().filter(|key| !keys.contains(key)) {
            if let Some(names) = self.by_key.get_mut(key) {
                names.remove(&name);
                if names.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
    }

    fn since(&self, sequence: u64) -> impl Iterator<Item = (&Arc<str>, &Stored)> {
        self.log.range(sequence + 1..).filter_map(|(_, name)| self.entries.get_key_value(name))
    }

    fn live(&self, name: &str) -> Option<(&Arc<str>, &Encoded)> {
        let (name, stored) = self.entries.get_key_value(name)?;
        Some((name, stored.resource.as_ref()?))
    }
}

impl<'a> View<'a> {
    /// What has changed after a place in the order, each name once.
    pub(crate) fn since(&self, sequence: u64) -> impl Iterator<Item = (&'a Arc<str>, &'a Stored)> {
        self.tables.into_iter().flatten().flat_map(move |table| table.since(sequence))
    }

    /// The resource of a name.
    pub(crate) fn find(&self, name: &str) -> Option<(&'a Arc<str>, &'a Encoded)> {
        self.tables.into_iter().flatten().find_map(|table| table.live(name))
    }

    /// Whether it is not known if there is a resource of the name.
    pub(crate) fn is_unknown(&self, name: &str) -> bool {
        self.tables.iter().flatten().any(|table| table.unknown.contains(name))
    }

    /// The resources found under a key.
    pub(crate) fn keyed(&self, key: &str) -> impl Iterator<Item = (&'a Arc<str>, &'a Encoded)> {
        let tables = self.tables.into_iter().flatten();
        let names =
            tables.flat_map(move |table| table.by_key.get(key).into_iter().flatten().map(move |it| (table, it)));
        names.filter_map(|(table, name)| table.live(name))
    }
}

fn next(sequence: &mut u64) -> u64 {
    *sequence += 1;
    *sequence
}
