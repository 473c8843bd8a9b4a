//! The program of a pod's network namespace.

use std::fs;
use std::io;

use aya::maps::MapError;
use aya::programs::SkLookup;

use crate::maps::MapFault;
use crate::node::{Enrolment, LoadError, LoadStage, Node, failed};
use crate::pins::{SK_LOOKUP, lookup_pin, replace_pin};

impl Node {
    /// Attaches a program to a pod's namespace, in the place of what an earlier agent attached.
    pub(crate) fn attach_to_netns(&mut self, name: &'static str, enrolment: &Enrolment<'_>) -> Result<(), LoadError> {
        let path = lookup_pin(&self.pins, enrolment.cookie);
        let program = self.sk_lookup(name)?;
        let id = program.attach(enrolment.netns).map_err(|error| failed(name, LoadStage::Attach, error))?;
        let link = program.take_link(id).map_err(|error| failed(name, LoadStage::Attach, error))?;
        replace_pin(&path, link.into()).map_err(|source| LoadError::Program {
            program: name,
            stage: LoadStage::Pin,
            source,
        })
    }

    /// Detaches from a namespace; where nothing is attached that is fine.
    pub(crate) fn detach_from_netns(&self, cookie: u64) -> Result<(), MapFault> {
        match fs::remove_file(lookup_pin(&self.pins, cookie)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let source = MapError::IoError(error);
                Err(MapFault { map: SK_LOOKUP, action: "unpin", source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Loaded when it is first asked for: that for virtual machines only where there is one.
    pub(crate) fn sk_lookup(&mut self, name: &'static str) -> Result<&mut SkLookup, LoadError> {
        let program = self.ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
        let program: &mut SkLookup = program.try_into().map_err(|error| failed(name, LoadStage::Load, error))?;
        if program.fd().is_err() {
            program.load().map_err(|error| failed(name, LoadStage::Load, error))?;
        }
        Ok(program)
    }
}
