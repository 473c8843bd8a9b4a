use ambit_model::GatewayKey;

use super::*;
use crate::proto::config::Object;

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

#[test]
fn what_may_be_there_is_neither_there_nor_gone_until_it_is_known() {
    let waypoint = GatewayKey { namespace: "shop".into(), name: "a".into() };
    let unknown = || Entry::unknown_object(&waypoint, "Secret", "shop", "key");
    let removed = || Entry::removed_object(&waypoint, "Secret", "shop", "key");
    let (kind, namespace, name) = ("Secret".to_owned(), "shop".to_owned(), "key".to_owned());
    let there = Object { kind, namespace, name, ..Object::default() };
    let there = || Entry::object(&waypoint, &there);
    let name = "shop/a/Secret/shop/key";
    // What is published; then whether there is one, whether that is unknown, and what there is to tell.
    for (entries, found, is_unknown, told) in [
        (vec![unknown()], false, true, ""),
        (vec![unknown(), there()], true, false, "there"),
        (vec![there(), unknown()], true, false, "there"),
        (vec![removed()], false, false, ""),
        (vec![unknown(), removed()], false, false, "gone"),
        (vec![unknown(), removed(), unknown()], false, true, "gone"),
        (vec![unknown(), removed(), unknown(), removed()], false, false, "gone"),
    ] {
        let cache = Cache::remembering(1);
        let shown = format!("{entries:?}");
        cache.publish(entries);
        cache.look(TypeUrl::Object, Some("shop/a"), |view| {
            assert_eq!((view.find(name).is_some(), view.is_unknown(name)), (found, is_unknown), "{shown}");
            let word = |(_, stored): (_, &table::Stored)| if stored.resource.is_some() { "there" } else { "gone" };
            assert_eq!(view.since(0).map(word).collect::<String>(), told, "{shown}");
        });
        assert!(!cache.look(TypeUrl::Object, Some("shop/b"), |view| view.is_unknown(name)), "of another place");
    }
}
