use ambit_compile::Problem;
use ambit_resources::{FieldPath, ObjectId};
use tempfile::TempDir;

use super::*;

/// Objects of its own making: words of a text, `policy` or `service`, and `!` before one that is not valid.
/// What is not valid stays as it was.
#[derive(Debug, Default)]
struct Words {
    published: bool,
    problem: Option<String>,
}

impl Manifests for Words {
    fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue> {
        let issue = |word: &str| {
            let kind = match word {
                "policy" => Some(Kind::AuthorizationPolicy),
                "service" => Some(Kind::Service),
                _ => None,
            };
            let object = kind.map(|kind| ObjectId { kind, namespace: "shop".into(), name: "a".into() });
            let (file, field) = (name.into(), FieldPath::default());
            Issue { severity: Severity::Error, file, line: 1, object, field, problem: Problem::NotInForce }
        };
        text.split_whitespace().filter_map(|word| word.strip_prefix('!')).map(issue).collect()
    }

    fn remove_file(&mut self, _name: &str) {}

    fn publish(&mut self) -> Vec<Issue> {
        self.published = true;
        Vec::new()
    }

    fn problem(&mut self, problem: String) {
        self.problem = Some(problem);
    }
}

/// A folder with one file of this text, which was this at its last valid time; not read yet.
fn folder(text: &str, saved: Option<&str>) -> (TempDir, Folder<Words>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, copies) = (dir.path().join("config"), dir.path().join("saved"));
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), text).unwrap();
    if let Some(saved) = saved {
        Saved(copies.clone()).keep("a.yaml", saved);
    }
    (dir, Folder::new(path, copies, Words::default()))
}

#[test]
fn without_a_policy_that_was_never_valid_nothing_is_in_force() {
    for (text, saved, expected) in [
        ("policy service", None, true),
        ("policy !service", None, true),
        ("!policy service", None, false),
        ("!unreadable", None, false),
        ("!policy service", Some("policy"), true),
        ("!unreadable", Some("policy service"), true),
        // Valid for an older program only.
        ("!policy service", Some("!policy service"), false),
        ("!unreadable", Some("!policy"), false),
        ("!policy", Some("!unreadable"), false),
        ("!policy", Some("policy !service"), true),
        // What the copy lacks is there now, and something else is not valid.
        ("policy !service", Some("!policy service"), true),
    ] {
        let (_dir, mut folder) = folder(text, saved);
        assert!(folder.read_changed().unwrap());
        folder.publish();
        assert_eq!(folder.manifests.published, expected, "{text:?} after {saved:?}");
        assert_eq!(folder.manifests.problem.is_none(), expected, "{text:?} after {saved:?}");
    }
}

#[test]
fn a_policy_that_is_mended_puts_everything_in_force_and_one_that_breaks_takes_nothing_out() {
    let (_dir, mut folder) = folder("!policy", Some("!policy"));
    for (text, expected) in [("!policy", false), ("policy", true), ("!policy", true)] {
        folder.manifests.published = false;
        fs::write(folder.path.join("a.yaml"), text).unwrap();
        folder.read_one("a.yaml");
        folder.publish();
        assert_eq!(folder.manifests.published, expected, "{text}");
    }
}
