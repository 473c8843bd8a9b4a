use std::collections::BTreeMap;

use super::*;

const LIST: &str = "{\"cniVersion\":\"1.0.0\",\"name\":\"a\",\"plugins\":[\n {\"type\":\"ptp\"}]}\n";
const OTHER: &str =
    "{\"cniVersion\":\"1.0.0\",\"name\":\"b\",\"plugins\":[{\"type\":\"bridge\"},{\"type\":\"portmap\"}]}";
const SINGLE: &str = "{\"cniVersion\":\"0.4.0\",\"name\":\"c\",\"type\":\"bridge\"}\n";
const ENTRY: &str = r#"{"type":"ambit-cni","socket":"/s"}"#;

/// A folder of networks.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn files(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(Result::unwrap);
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .collect()
    }

    fn put(&self) -> Result<Option<String>, NetworksError> {
        let changed = put(self.0.path(), ENTRY)?;
        Ok(changed.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()))
    }

    /// The files with the plugin in them.
    fn with_plugin(&self) -> Vec<String> {
        self.files().into_iter().filter(|(_, text)| text.contains(ENTRY)).map(|(name, _)| name).collect()
    }
}

#[test]
fn it_goes_into_the_network_in_use_and_out_without_a_trace() {
    for (files, expected) in [
        (&[("10-a.conflist", LIST)][..], "10-a.conflist"),
        (&[("10-a.conflist", LIST), ("05-b.conflist", OTHER)], "05-b.conflist"),
        (&[("10-a.conflist", LIST), ("05-b.conflist.bak", OTHER), ("0.yaml", OTHER)], "10-a.conflist"),
        (&[("10-a.conflist", LIST), ("05-c.conf", SINGLE)], "05-c.conflist"),
        (&[("10-a.conflist", LIST), ("05-c.json", SINGLE)], "05-c.conflist"),
        (&[("10-c.conf", SINGLE), ("05-b.conflist", OTHER)], "05-b.conflist"),
    ] {
        let folder = Folder::with(files);
        let before = folder.files();
        fs::create_dir(folder.0.path().join("00-folder.conf")).unwrap();
        assert_eq!(folder.put().unwrap().as_deref(), Some(expected));
        assert_eq!(folder.put().unwrap(), None, "a second look changes nothing");
        fs::remove_dir(folder.0.path().join("00-folder.conf")).unwrap();
        assert_eq!(folder.with_plugin(), [expected]);
        let first = folder.files().into_keys().find(|name| Kind::of(name).is_some());
        assert_eq!(first.as_deref(), Some(expected), "the runtime reads another one first");
        take_out(folder.0.path()).unwrap();
        assert_eq!(folder.files(), before);
        take_out(folder.0.path()).unwrap();
    }
}

#[test]
fn what_others_do_is_followed() {
    let folder = Folder::with(&[("10-a.conflist", LIST)]);
    folder.put().unwrap();
    // Written anew by its owner.
    folder.write("10-a.conflist", LIST);
    assert_eq!(folder.put().unwrap().as_deref(), Some("10-a.conflist"));
    // Another one comes first, then goes.
    folder.write("05-c.conf", SINGLE);
    assert_eq!(folder.put().unwrap().as_deref(), Some("05-c.conflist"));
    // The owner of a file that was made a list writes it again.
    folder.write("05-c.conf", SINGLE);
    assert_eq!(folder.put().unwrap().as_deref(), Some("05-c.conflist"));
    assert!(!folder.files().contains_key("05-c.conf"));
    fs::remove_file(folder.0.path().join("05-c.conflist")).unwrap();
    assert_eq!(folder.put().unwrap(), None);
    assert_eq!(folder.with_plugin(), ["10-a.conflist"]);
    take_out(folder.0.path()).unwrap();
    assert_eq!(folder.files(), BTreeMap::from([("10-a.conflist".to_owned(), LIST.to_owned())]));
}

#[test]
fn a_list_that_another_has_changed_stays_a_list() {
    let folder = Folder::with(&[("05-c.conf", SINGLE)]);
    folder.put().unwrap();
    let longer = folder.files()["05-c.conflist"].replace(ENTRY, &format!("{ENTRY},{{\"type\":\"tuning\"}}"));
    folder.write("05-c.conflist", &longer);
    take_out(folder.0.path()).unwrap();
    let files = folder.files();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["05-c.conflist"]);
    assert!(files["05-c.conflist"].contains("tuning") && !files["05-c.conflist"].contains(ENTRY));
}

#[test]
fn what_cannot_be_done_is_said_and_breaks_nothing() {
    assert!(matches!(Folder::with(&[]).put(), Err(NetworksError::None(_))));
    let nowhere = Path::new("/nowhere/at/all");
    assert!(matches!(put(nowhere, ENTRY), Err(NetworksError::None(_))));
    take_out(nowhere).unwrap();

    // Half a file before a good one: in it at once where the runtime passes the other over, and not well.
    let folder = Folder::with(&[("05-b.conflist", "{\"plug"), ("10-a.conflist", LIST)]);
    for _ in 0..2 {
        assert!(matches!(folder.put(), Err(NetworksError::Conflist { path, .. }) if path.ends_with("05-b.conflist")));
        assert_eq!(folder.with_plugin(), ["10-a.conflist"]);
    }
    folder.write("05-b.conflist", OTHER);
    assert_eq!(folder.put().unwrap().as_deref(), Some("05-b.conflist"));

    // Its list would take another's name.
    let folder = Folder::with(&[("05-c.conf", SINGLE), ("05-c.conflist", LIST)]);
    let before = folder.files();
    assert!(matches!(folder.put(), Err(NetworksError::NameTaken { .. })));
    assert_eq!(folder.files(), before);
}

#[test]
fn an_attempt_that_was_cut_off_is_taken_up() {
    let folder = Folder::with(&[("05-c.conf", SINGLE)]);
    folder.put().unwrap();
    // As if the last step had not been taken.
    fs::rename(folder.0.path().join("05-c.conf.ambit-saved"), folder.0.path().join("05-c.conf")).unwrap();
    assert_eq!(folder.put().unwrap().as_deref(), Some("05-c.conflist"));
    assert_eq!(folder.files().into_keys().collect::<Vec<_>>(), ["05-c.conf.ambit-saved", "05-c.conflist"]);
}

#[test]
fn whoever_could_read_it_still_can() {
    let folder = Folder::with(&[("10-a.conflist", LIST)]);
    let path = folder.0.path().join("10-a.conflist");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    folder.put().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}
