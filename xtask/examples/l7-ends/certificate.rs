//! A certificate of the mesh's authority.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ambit_identity::{CaOptions, CertificateAuthority, LeafTemplate};
use anyhow::Result;
use pem::Pem;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The state of the mesh's programs: the authority is there.
    #[arg(long)]
    state: PathBuf,
    /// Where `key.pem`, `chain.pem` and `roots.pem` go.
    #[arg(long)]
    folder: PathBuf,
    /// Whose it is.
    identity: String,
}

pub(crate) fn write(options: &Options) -> Result<()> {
    let authority = CertificateAuthority::open_or_create(&options.state, CaOptions::new("cluster.local"))?;
    let key = rcgen::KeyPair::generate()?;
    let now = SystemTime::now();
    let template = LeafTemplate {
        uris: vec![options.identity.clone()],
        dns_names: Vec::new(),
        not_before: now - HOUR,
        not_after: now + HOUR,
    };
    let chain = authority.sign(&key, &template)?.0;
    let chain: Vec<Pem> = chain.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.to_vec())).collect();
    fs::write(options.folder.join("key.pem"), key.serialize_pem())?;
    fs::write(options.folder.join("chain.pem"), pem::encode_many(&chain))?;
    fs::copy(CertificateAuthority::roots_path(&options.state), options.folder.join("roots.pem"))?;
    Ok(())
}
