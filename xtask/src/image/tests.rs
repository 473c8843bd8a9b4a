use std::{collections::BTreeMap, fs, io::Read, path::Path};

use super::{Entry, Image};

fn image(program: &Path) -> Image {
    Image {
        name: "ambit.test/one:1".to_owned(),
        entries: vec![
            Entry::folder("tmp", 0o1777),
            Entry::file("/usr/bin/program", program, 0o755),
            Entry::text("etc/greeting", "hello", 0o644),
            Entry::link("bin/sh", "busybox"),
        ],
        entrypoint: vec!["/usr/bin/program".to_owned()],
        env: vec!["PATH=/usr/bin".to_owned()],
        user: "65532:65532".to_owned(),
        labels: BTreeMap::new(),
    }
}

/// Path, mode and content (of a link: its target) of everything in an archive.
fn contents(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            content = target.display().to_string().into_bytes();
        }
        (path, (entry.header().mode().unwrap(), content))
    });
    read.collect()
}

#[test]
fn the_archive_holds_the_layer_and_names_it_by_its_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, "code").unwrap();
    let written = folder.path().join("one.tar");
    image(&program).write(&written).unwrap();

    let archive = contents(&fs::read(&written).unwrap());
    let (_, layer) = &archive["layer.tar"];
    let entries = contents(layer);
    for (path, mode, content) in [
        ("tmp", 0o1777, ""),
        ("usr/bin/program", 0o755, "code"),
        ("etc/greeting", 0o644, "hello"),
        ("bin/sh", 0o777, "busybox"),
    ] {
        assert_eq!(entries[path], (mode, content.as_bytes().to_vec()), "{path}");
    }
    let layer_file = folder.path().join("layer");
    fs::write(&layer_file, layer).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&archive["config.json"].1).unwrap();
    let digest = format!("sha256:{}", crate::digest::sha256(&layer_file).unwrap());
    assert_eq!(config["rootfs"]["diff_ids"][0], digest);
    assert_eq!(config["config"]["User"], "65532:65532");
    let manifest: serde_json::Value = serde_json::from_slice(&archive["manifest.json"].1).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "ambit.test/one:1");
}

#[test]
fn the_same_entries_give_the_same_bytes_and_leave_nothing_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, "code").unwrap();
    let [one, two] = ["one.tar", "two.tar"].map(|name| folder.path().join(name));
    image(&program).write(&one).unwrap();
    image(&program).write(&two).unwrap();
    assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
