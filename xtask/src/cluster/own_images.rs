//! The images the harness needs itself: what holds a pod's namespaces, DNS, and an application.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{layout, programs};
use crate::image::{Entry, Image};

/// Holds a pod's namespaces; also named in the nodes' settings of containerd.
pub(super) const PAUSE: &str = "ambit.test/pause:1";

/// Writes the archives that are not there yet.
pub(super) fn write() -> Result<()> {
    fs::create_dir_all(layout::file("images"))?;
    for (image, archive) in [pause(), coredns(), app()].into_iter().zip(archives()) {
        if !archive.exists() {
            image.write(&archive)?;
        }
    }
    Ok(())
}

/// Where they are.
pub(super) fn archives() -> [PathBuf; 3] {
    ["pause", "coredns", "app"].map(|name| layout::file(&format!("images/{name}.tar")))
}

fn pause() -> Image {
    Image {
        name: PAUSE.to_owned(),
        entries: vec![busybox()],
        entrypoint: words(&["/bin/busybox", "sleep", "inf"]),
        env: Vec::new(),
        user: String::new(),
        labels: BTreeMap::new(),
    }
}

fn coredns() -> Image {
    Image {
        name: "ambit.test/coredns:1".to_owned(),
        entries: vec![Entry::file("coredns", programs::path("coredns"), 0o755)],
        entrypoint: words(&["/coredns"]),
        env: Vec::new(),
        user: String::new(),
        labels: BTreeMap::new(),
    }
}

/// `fortio` (HTTP, TCP, UDP and gRPC; server, client and load) and a shell with the usual tools.
fn app() -> Image {
    let tools = [
        "cat", "cp", "date", "df", "dd", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id", "ip",
        "kill", "ls", "mkdir", "mount", "nc", "netstat", "nslookup", "ping", "ps", "rm", "sed", "sh", "sleep", "stat",
        "tail", "test", "timeout", "touch", "true", "wget",
    ];
    let mut entries = vec![
        busybox(),
        Entry::file("usr/bin/fortio", programs::path("fortio"), 0o755),
        Entry::folder("tmp", 0o1777),
        Entry::text("etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644),
    ];
    entries.extend(tools.map(|tool| Entry::link(&format!("bin/{tool}"), "busybox")));
    Image {
        name: "ambit.test/app:1".to_owned(),
        entries,
        entrypoint: words(&["/usr/bin/fortio"]),
        env: words(&["PATH=/usr/bin:/bin"]),
        user: String::new(),
        labels: BTreeMap::new(),
    }
}

/// Debian's, linked statically.
fn busybox() -> Entry {
    Entry::file("bin/busybox", Path::new("/bin/busybox"), 0o755)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
