//! The documents name files and folders of the tree; those must exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Tally;
use crate::workspace;

/// Checks each document's relative links; one test a document.
pub(super) fn check() -> Tally {
    documents(workspace::root()).iter().map(|document| check_document(document)).sum()
}

/// The Markdown files at the root and in `docs/`.
fn documents(root: &Path) -> Vec<PathBuf> {
    let folders = [root.to_owned(), root.join("docs")];
    let files = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let mut documents: Vec<_> =
        files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    documents.sort();
    documents
}

fn check_document(document: &Path) -> Tally {
    let text = fs::read_to_string(document).unwrap_or_default();
    let folder = document.parent().unwrap_or(Path::new("."));
    let broken: Vec<_> = links(&text).filter(|link| !folder.join(link).exists()).collect();
    for link in &broken {
        eprintln!("{}: `{link}` does not exist", document.display());
    }
    println!("document {} ... {}", document.display(), if broken.is_empty() { "ok" } else { "FAILED" });
    Tally::one(broken.is_empty())
}

/// The targets of Markdown links that point into the tree, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::links;

    #[test]
    fn only_links_into_the_tree_are_checked() {
        let text = "see [a](docs/a.md), [b](docs/b.md#part), [web](https://example.com/x), [here](#below)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "docs/b.md"]);
    }
}
