//! The authority's files: made once, whole, by whoever comes first.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{CaOptions, serial};

pub(super) const ROOTS_FILE: &str = "roots.pem";
pub(super) const DIR: &str = "ca";
const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.crt";
/// Held while looking whether the folder exists, and making it.
const LOCK_FILE: &str = "ca.lock";
/// Where the folder is made before it gets its name.
const UNFINISHED_DIR: &str = "ca.unfinished";

/// How long a root made here is valid: 10 years.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
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
        /// What is wrong, where a parser said so.
        source: Option<rcgen::Error>,
    },
    /// The certificate is no authority's, or of another key.
    #[error("{} is not a certificate authority's certificate for the key beside it", path.display())]
    Mismatch {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The key or the certificate could not be made.
    #[error("cannot make a certificate authority")]
    Generate(#[source] rcgen::Error),
}

/// An authority as its files tell it.
pub(super) struct Files {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    pub(super) not_after: SystemTime,
}

pub(super) fn open_or_create(dir: &Path, options: &CaOptions) -> Result<Files, OpenError> {
    fs::create_dir_all(dir).map_err(io("create", dir))?;
    let path = dir.join(LOCK_FILE);
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(io("open", &path))?;
    // Released when `lock` is dropped, or by the kernel with a process that dies.
    lock.lock().map_err(io("lock", &path))?;

    let home = dir.join(DIR);
    if !home.try_exists().map_err(io("look for", &home))? {
        create(dir, &home, options)?;
    }
    load(&home)
}

/// Makes the folder under another name and gives it its own with one rename: it exists whole or not at all.
fn create(dir: &Path, home: &Path, options: &CaOptions) -> Result<(), OpenError> {
    let unfinished = dir.join(UNFINISHED_DIR);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("remove", &unfinished)(error)),
        // Left by a process that died here: we hold the lock, so nobody is writing it.
        Ok(()) | Err(_) => {}
    }
    let (key, certificate) = generate(options).map_err(OpenError::Generate)?;
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(io("create", &unfinished))?;
    write(&unfinished.join(KEY_FILE), 0o600, &key.serialize_pem())?;
    write(&unfinished.join(CERTIFICATE_FILE), 0o644, &certificate.pem())?;
    write(&unfinished.join(ROOTS_FILE), 0o644, &certificate.pem())?;
    sync_dir(&unfinished)?;
    fs::rename(&unfinished, home).map_err(io("create", home))?;
    sync_dir(dir)?;
    tracing::info!(path = %home.display(), trust_domain = %options.trust_domain, "made a certificate authority");
    Ok(())
}

fn generate(options: &CaOptions) -> Result<(KeyPair, Certificate), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let now = options.clock.now();
    let serial = serial();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, &*options.trust_domain);
    // Without it, two roots of one trust domain would have one name, and rotation would be guesswork.
    let unique: String = serial.to_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    name.push(DnType::CommonName, format!("Ambit CA {unique}"));
    let mut params = CertificateParams::default();
    params.not_before = (now - options.backdate).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params.serial_number = Some(serial);
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok((key, certificate))
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), OpenError> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(path).map_err(io("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", path))
}

fn sync_dir(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(io("sync", path))
}

fn load(home: &Path) -> Result<Files, OpenError> {
    let key_path = home.join(KEY_FILE);
    let (file, text) = read(&key_path)?;
    let mode = file.metadata().map_err(io("stat", &key_path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OpenError::Exposed { path: key_path, mode });
    }
    let key = KeyPair::from_pem(&text).map_err(|source| damaged(&key_path, Some(source)))?;

    let path = home.join(CERTIFICATE_FILE);
    let (_, text) = read(&path)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|_| damaged(&path, None))?;
    let signing = chain.first().ok_or_else(|| damaged(&path, None))?;
    let (_, x509) = X509Certificate::from_der(signing).map_err(|_| damaged(&path, None))?;
    if !x509.is_ca() || x509.public_key().raw != key.subject_public_key_info() {
        return Err(OpenError::Mismatch { path });
    }
    let not_after = x509.validity().not_after.to_datetime().into();
    let issuer = Issuer::from_ca_cert_der(signing, key).map_err(|source| damaged(&path, Some(source)))?;
    let intermediates = chain.iter().filter(|certificate| !is_root(certificate)).cloned().collect();
    Ok(Files { issuer, intermediates, not_after })
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

fn is_root(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, x509)| x509.subject() == x509.issuer())
}

fn damaged(path: &Path, source: Option<rcgen::Error>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), source }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
