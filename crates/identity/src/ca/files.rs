//! The authority's files: made once, whole, by whoever comes first.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{CaOptions, CertificateAuthority, GenerateError, LoadError, NewRoot};

pub(super) const ROOTS_FILE: &str = "roots.pem";
pub(super) const DIR: &str = "ca";
const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.crt";
/// Held while looking whether the folder exists, and making it.
const LOCK_FILE: &str = "ca.lock";
/// Where the folder is made before it gets its name.
const UNFINISHED_DIR: &str = "ca.unfinished";

/// No key or chain is longer; a bigger file is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why the authority cannot be opened. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of an authority that exists is gone.
    #[error("{} is missing: put it back, or remove the whole folder to get a new authority (which no present peer will trust)", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The key can be read by others than its owner.
    #[error("{} can be read by others (mode {mode:o}): whoever read it can be anybody in the mesh; replace the key if in doubt, then chmod 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file cannot be understood.
    #[error("{} is damaged: put back a good copy; it is never made anew by itself", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LoadError,
    },
    /// The certificate is no authority's, or of another key.
    #[error("{} is not a certificate authority's certificate for the key beside it", path.display())]
    Mismatch {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The key or the certificate could not be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

pub(super) fn open_or_create(dir: &Path, options: CaOptions) -> Result<CertificateAuthority, OpenError> {
    fs::create_dir_all(dir).map_err(io("create", dir))?;
    let path = dir.join(LOCK_FILE);
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(io("open", &path))?;
    // Released when `lock` is dropped, or by the kernel with a process that dies.
    lock.lock().map_err(io("lock", &path))?;

    let home = dir.join(DIR);
    if !home.try_exists().map_err(io("look for", &home))? {
        create(dir, &home, &options)?;
    }
    load(&home, options)
}

/// Makes the folder under another name and gives it its own with one rename: it exists whole or not at all.
fn create(dir: &Path, home: &Path, options: &CaOptions) -> Result<(), OpenError> {
    let unfinished = dir.join(UNFINISHED_DIR);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("remove", &unfinished)(error)),
        // Left by a process that died here: we hold the lock, so nobody is writing it.
        Ok(()) | Err(_) => {}
    }
    let root = NewRoot::generate(options)?;
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(io("create", &unfinished))?;
    write(&unfinished.join(KEY_FILE), 0o600, &root.key)?;
    write(&unfinished.join(CERTIFICATE_FILE), 0o644, &root.certificate)?;
    write(&unfinished.join(ROOTS_FILE), 0o644, &root.certificate)?;
    sync_dir(&unfinished)?;
    fs::rename(&unfinished, home).map_err(io("create", home))?;
    sync_dir(dir)?;
    tracing::info!(path = %home.display(), trust_domain = %options.trust_domain, "made a certificate authority");
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), OpenError> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(path).map_err(io("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", path))
}

fn sync_dir(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(io("sync", path))
}

fn load(home: &Path, options: CaOptions) -> Result<CertificateAuthority, OpenError> {
    let key_path = home.join(KEY_FILE);
    let (file, key) = read(&key_path)?;
    let mode = file.metadata().map_err(io("stat", &key_path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OpenError::Exposed { path: key_path, mode });
    }
    let path = home.join(CERTIFICATE_FILE);
    let (_, chain) = read(&path)?;
    CertificateAuthority::from_pem(&chain, &key, options).map_err(|source| match source {
        LoadError::Key(_) => OpenError::Damaged { path: key_path, source },
        LoadError::NotAnAuthority | LoadError::OtherKey => OpenError::Mismatch { path },
        LoadError::Pem(_) | LoadError::Empty | LoadError::Certificate(_) | LoadError::Malformed => {
            OpenError::Damaged { path, source }
        }
    })
}

/// Reads a text whole, and gives the open file too: its mode must be of the very file that was read.
fn read(path: &Path) -> Result<(File, String), OpenError> {
    let file = File::open(path).map_err(|source| {
        let missing = source.kind() == io::ErrorKind::NotFound;
        if missing { OpenError::Missing { path: path.to_owned() } } else { io("open", path)(source) }
    })?;
    let mut text = String::new();
    (&file).take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(io("read", path))?;
    Ok((file, text))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
