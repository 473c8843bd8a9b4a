use super::*;

fn namespace(name: &str) -> Entry {
    Entry::meshed_namespace(name)
}

fn since(cache: &Cache, sequence: u64) -> Vec<String> {
    cache.look(TypeUrl::MeshedNamespace, None, |view| {
        let word = |(name, stored): (&Arc<str>, &table::Stored)| match stored.resource {
            Some(_) => name.to_string(),
            None => format!("-{name}"),
        };
        view.since(sequence).map(word).collect()
    })
}

#[test]
fn each_name_stands_at_its_last_change() {
    let cache = Cache::default();
    cache.publish(vec![namespace("a"), namespace("b"), Entry::removed(TypeUrl::MeshedNamespace, "a"), namespace("c")]);
    assert_eq!(since(&cache, 0), ["b", "-a", "c"]);
    assert_eq!(since(&cache, 3), ["c"]);
    cache.publish(vec![namespace("a")]);
    assert_eq!(since(&cache, 0), ["b", "c", "a"]);
}

#[test]
fn what_is_the_same_as_before_is_no_change() {
    let cache = Cache::default();
    cache.publish(vec![namespace("a")]);
    let mut progress = cache.progress();
    progress.mark_unchanged();
    cache.publish(vec![namespace("a"), Entry::removed(TypeUrl::MeshedNamespace, "never there")]);
    assert!(!progress.has_changed().unwrap());
    assert_eq!(since(&cache, 1), [""; 0]);
}

#[test]
fn removals_are_forgotten_the_oldest_first() {
    let cache = Cache::remembering(2);
    for name in ["a", "b", "c"] {
        cache.publish(vec![namespace(name), Entry::removed(TypeUrl::MeshedNamespace, name)]);
    }
    assert_eq!(since(&cache, 0), ["-b", "-c"]);
    cache.look(TypeUrl::MeshedNamespace, None, |view| assert_eq!(view.forgotten, 2));
    // One that has come again is not forgotten with its removal.
    cache.publish(vec![namespace("b"), namespace("d"), Entry::removed(TypeUrl::MeshedNamespace, "d")]);
    assert_eq!(since(&cache, 0), ["-c", "b", "-d"]);
}

#[test]
fn the_same_object_is_the_same_version_in_every_process() {
    let version = |entry: Entry| entry.resource.unwrap().version;
    assert_eq!(version(namespace("a")), version(namespace("a")));
    assert_ne!(version(namespace("a")), version(namespace("b")));
}
