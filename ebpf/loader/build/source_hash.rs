//! The fingerprint that ties a built kernel object to the sources it was built from. Compiled into
//! both the builder (`cargo xtask build-ebpf`) and this crate's build script, so that they cannot
//! disagree; std only, as a build script's dependencies are paid for by every build.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folders, below `ebpf/`, whose files decide what the kernel object contains.
pub(crate) const SOURCES: [&str; 2] = ["programs", "types"];

/// FNV-1a, 64 bits, over path, length and content of every source file, in the order of their paths.
/// It guards against a forgotten rebuild, not against an adversary: the sources are trusted.
pub(crate) fn source_hash(ebpf: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&ebpf.join(source), Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash = Fnv::default();
    for file in files {
        let content = fs::read(ebpf.join(&file))?;
        hash.write(file.as_os_str().as_encoded_bytes());
        hash.write(&[0]);
        hash.write(&(content.len() as u64).to_le_bytes());
        hash.write(&content);
    }
    Ok(hash.0)
}

/// Adds the files under `folder`, named relative to `ebpf/`; what cargo itself writes is not a source.
fn collect(folder: &Path, name: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = name.join(entry.file_name());
        if entry.file_type()?.is_file() {
            files.push(name);
        } else if entry.file_name() != "target" {
            collect(&entry.path(), &name, files)?;
        }
    }
    Ok(())
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
