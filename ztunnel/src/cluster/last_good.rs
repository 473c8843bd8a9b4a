//! The last good state, kept over restarts: an agent that starts while the control plane is away serves
//! what was in force before.
//!
//! One file: a line that names the format, a checksum, then the resources as the control plane sent them,
//! each with its length before it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_xds::TypeUrl;
use ambit_xds::proto::discovery::Resource;
use bytes::{Buf, Bytes};
use prost::Message;

use super::held::{Held, Kept};

/// Names the format. Another format, another number: what is kept by another version is then not read.
const FORMAT: &[u8] = b"ambit discovery state 1\n";

/// Where a node's state is kept.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    path: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LastGoodError {
    /// The file.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what was written.
    #[error("{} is damaged: {damage}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        damage: Damage,
    },
}

/// What is wrong with a file's contents.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// It begins otherwise.
    #[error("it is not of this format")]
    Format,
    /// It is not as it was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The messages.
    #[error("{0}")]
    Message(#[from] prost::DecodeError),
}

impl LastGood {
    /// The state of `node`, in the agent's state folder.
    pub(crate) fn new(state: &Path, node: &str) -> Self {
        Self { path: state.join("discovery").join(node) }
    }

    /// What was kept; nothing where nothing was.
    pub(crate) fn read(&self) -> Result<Option<Held>, LastGoodError> {
        let path = || self.path.clone();
        let text = match fs::read(&self.path) {
            Ok(text) => Bytes::from(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LastGoodError::Read { path: path(), source }),
        };
        decode(text).map(Some).map_err(|damage| LastGoodError::Damaged { path: path(), damage })
    }

    /// Forgets it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The folders it is in, the innermost first, up to that of the agent's state.
    pub(crate) fn folders<'a>(&'a self, state: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.path.ancestors().skip(1).take_while(move |folder| folder.starts_with(state))
    }

    /// Keeps this. The file is another's or this one's at every moment, never half of each.
    pub(crate) fn write(&self, held: &Held) -> io::Result<()> {
        let new = self.path.with_extension("new");
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&encode(held))?;
        file.sync_data()?;
        fs::rename(&new, &self.path)
    }
}

fn encode(held: &Held) -> Vec<u8> {
    let mut resources = Vec::new();
    for (of, name, kept) in held.iter() {
        let resource = Resource {
            version: kept.version.to_string(),
            resource: Some(prost_types::Any { type_url: of.as_str().to_owned(), value: kept.body.to_vec() }),
            name: name.to_string(),
            aliases: Vec::new(),
        };
        resources.extend(resource.encode_length_delimited_to_vec());
    }
    [FORMAT, &checksum(&resources).to_be_bytes(), &resources].concat()
}

fn decode(text: Bytes) -> Result<Held, Damage> {
    let mut rest = text.strip_prefix(FORMAT).map(|rest| text.slice_ref(rest)).ok_or(Damage::Format)?;
    let expected = rest.try_get_u64().map_err(|_| Damage::Format)?;
    if checksum(&rest) != expected {
        return Err(Damage::Checksum);
    }
    let mut held = Held::default();
    while rest.has_remaining() {
        let resource = Resource::decode_length_delimited(&mut rest)?;
        // A type of another version is none of ours, and will be sent again to whoever knows it.
        let Some(body) = resource.resource else { continue };
        let Some(of) = TypeUrl::parse(&body.type_url) else { continue };
        let kept = Kept { version: resource.version.into(), body: body.value.into() };
        held.insert(of, Arc::from(resource.name), kept);
    }
    Ok(held)
}

/// FNV-1a: against disks and half-written files, not against people.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Held {
        let mut held = Held::default();
        let kept = |text: &'static str| Kept { version: "7".into(), body: Bytes::from_static(text.as_bytes()) };
        held.insert(TypeUrl::Address, "Kubernetes//Pod/shop/web".into(), kept("a workload"));
        held.insert(TypeUrl::Authorization, "shop/allow".into(), kept("a policy"));
        held
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = LastGood::new(folder.path(), "node-1");
        assert_eq!(state.read().unwrap(), None);
        for held in [Held::default(), some()] {
            state.write(&held).unwrap();
            assert_eq!(state.read().unwrap(), Some(held));
        }
        assert_eq!(LastGood::new(folder.path(), "node-2").read().unwrap(), None);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let good = encode(&some());
        assert_eq!(decode(good.clone().into()), Ok(some()));
        for at in 0..good.len() {
            let mut bad = good.clone();
            *bad.get_mut(at).unwrap() ^= 0x10;
            decode(bad.into()).unwrap_err();
            decode(good.get(..at).unwrap().to_vec().into()).unwrap_err();
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = LastGood::new(folder.path(), "node-1");
        state.write(&some()).unwrap();
        fs::write(folder.path().join("discovery/node-1"), "nothing of the kind").unwrap();
        let error = state.read().unwrap_err().to_string();
        assert!(error.ends_with("discovery/node-1 is damaged: it is not of this format"), "{error}");
    }
}
