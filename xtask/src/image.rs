//! Container images of one layer, written as the archive that `docker load`, `skopeo`, `podman load`
//! and `ctr images import` read: no builder, no registry and no base image. The same entries give the
//! same bytes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::json;
use tar::{EntryType, Header};

use crate::digest::sha256;

/// An image: its name, what is in it and how it starts.
pub(crate) struct Image {
    /// With its tag: `ambit.test/app:1`.
    pub(crate) name: String,
    /// Folders above them need not be listed.
    pub(crate) entries: Vec<Entry>,
    pub(crate) entrypoint: Vec<String>,
    /// Each `NAME=value`.
    pub(crate) env: Vec<String>,
    /// `uid:gid`; root where it is empty.
    pub(crate) user: String,
    /// What is said about it, as in `org.opencontainers.image.version`.
    pub(crate) labels: BTreeMap<String, String>,
}

/// One path in the image, without a leading slash.
pub(crate) struct Entry {
    path: String,
    mode: u32,
    content: Content,
}

enum Content {
    Folder,
    File(PathBuf),
    Text(String),
    Link(String),
}

impl Entry {
    /// A file of this machine; symbolic links are followed.
    pub(crate) fn file(path: &str, source: impl Into<PathBuf>, mode: u32) -> Self {
        Self::new(path, mode, Content::File(source.into()))
    }

    /// A file of these words.
    pub(crate) fn text(path: &str, text: impl Into<String>, mode: u32) -> Self {
        Self::new(path, mode, Content::Text(text.into()))
    }

    /// An empty folder.
    pub(crate) fn folder(path: &str, mode: u32) -> Self {
        Self::new(path, mode, Content::Folder)
    }

    /// A symbolic link.
    pub(crate) fn link(path: &str, target: &str) -> Self {
        Self::new(path, 0o777, Content::Link(target.to_owned()))
    }

    fn new(path: &str, mode: u32, content: Content) -> Self {
        Self { path: path.trim_start_matches('/').to_owned(), mode, content }
    }

    fn append(&self, layer: &mut Archive) -> Result<()> {
        match &self.content {
            Content::Folder => append(layer, &header(EntryType::Directory, self.mode, 0), &self.path, io::empty()),
            Content::Text(text) => append_text(layer, &self.path, self.mode, text),
            Content::File(source) => append_file(layer, &self.path, self.mode, source),
            Content::Link(target) => {
                let mut header = header(EntryType::Symlink, self.mode, 0);
                layer.append_link(&mut header, &self.path, target).with_context(|| format!("adding {}", self.path))
            }
        }
    }
}

impl Image {
    /// Writes the image to `archive`, which is there as a whole or not at all.
    pub(crate) fn write(&self, archive: &Path) -> Result<()> {
        let layer = archive.with_extension("layer");
        let unfinished = archive.with_extension("new");
        let written = self.write_layer(&layer).and_then(|()| self.write_archive(&layer, &unfinished));
        // Only for space: a failure to write is the one to tell.
        fs::remove_file(&layer).ok();
        written.with_context(|| format!("writing image {}", self.name))?;
        fs::rename(&unfinished, archive).with_context(|| format!("writing {}", archive.display()))
    }

    fn write_layer(&self, file: &Path) -> Result<()> {
        let mut layer = create(file)?;
        self.entries.iter().try_for_each(|entry| entry.append(&mut layer))?;
        finish(layer)
    }

    fn write_archive(&self, layer: &Path, file: &Path) -> Result<()> {
        let manifest = json!([{ "Config": CONFIG, "RepoTags": [self.name], "Layers": [LAYER] }]);
        let mut archive = create(file)?;
        append_text(&mut archive, CONFIG, 0o644, &self.config(&sha256(layer)?).to_string())?;
        append_file(&mut archive, LAYER, 0o644, layer)?;
        append_text(&mut archive, "manifest.json", 0o644, &manifest.to_string())?;
        finish(archive)
    }

    fn config(&self, layer: &str) -> serde_json::Value {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": self.env,
                "User": self.user,
                "Labels": self.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        })
    }
}

type Archive = tar::Builder<io::BufWriter<File>>;

const CONFIG: &str = "config.json";
const LAYER: &str = "layer.tar";

fn create(file: &Path) -> Result<Archive> {
    let created = File::create(file).with_context(|| format!("creating {}", file.display()))?;
    Ok(tar::Builder::new(io::BufWriter::new(created)))
}

fn finish(archive: Archive) -> Result<()> {
    archive.into_inner()?.flush().context("writing the end of an archive")
}

fn append_text(archive: &mut Archive, path: &str, mode: u32, text: &str) -> Result<()> {
    append(archive, &header(EntryType::Regular, mode, u64::try_from(text.len())?), path, text.as_bytes())
}

fn append_file(archive: &mut Archive, path: &str, mode: u32, source: &Path) -> Result<()> {
    let file = File::open(source).with_context(|| format!("opening {}", source.display()))?;
    let size = file.metadata()?.len();
    append(archive, &header(EntryType::Regular, mode, size), path, file)
}

fn append(archive: &mut Archive, header: &Header, path: &str, data: impl io::Read) -> Result<()> {
    archive.append_data(&mut header.clone(), path, data).with_context(|| format!("adding {path}"))
}

/// Owned by root and of no date: the same image whoever writes it, and when.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests;
