//! Certificates of the mesh's own authority for somebody else's programs, as PEM files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ambit_identity::{CaOptions, CertificateAuthority, LeafTemplate};
use anyhow::Result;
use pem::Pem;

const HOUR: Duration = Duration::from_secs(3600);

/// Writes `key.pem` and `chain.pem` for an identity into `folder`; the authority is that of the
/// agents whose state is in `state`.
pub(crate) fn write(state: &Path, identity: &str, folder: &Path) -> Result<()> {
    let authority = CertificateAuthority::open_or_create(state, CaOptions::new("cluster.local"))?;
    let key = rcgen::KeyPair::generate()?;
    let now = std::time::SystemTime::now();
    let template = LeafTemplate {
        uris: vec![identity.to_owned()],
        dns_names: Vec::new(),
        not_before: now - HOUR,
        not_after: now + HOUR,
    };
    let chain = authority.sign(&key, &template)?.0;
    let chain: Vec<Pem> = chain.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.to_vec())).collect();
    fs::write(folder.join("key.pem"), key.serialize_pem())?;
    Ok(fs::write(folder.join("chain.pem"), pem::encode_many(&chain))?)
}
