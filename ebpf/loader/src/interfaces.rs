//! The programs of a virtual machine's interfaces: attached by TCX links, pinned like the others.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use nix::sched::{CloneFlags, setns};

use crate::node::{Enrolment, LoadError, Node};
use crate::pins::{ARRIVING, FROM_GUEST, LEAVING, TO_GUEST, interface_pin, pinned_interfaces, replace_pin};

/// An interface of a virtual machine's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number, never used again in this namespace.
    pub index: u32,
    /// What comes in by it.
    pub side: Side,
}

/// Who is behind an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The guest.
    Guest,
    /// Everybody else.
    Outside,
}

impl Side {
    fn programs(self) -> &'static [(&'static str, TcAttachType)] {
        match self {
            Self::Guest => &[(ARRIVING, TcAttachType::Egress), (FROM_GUEST, TcAttachType::Ingress)],
            Self::Outside => &[(LEAVING, TcAttachType::Egress), (TO_GUEST, TcAttachType::Ingress)],
        }
    }
}

type Refusal = Box<dyn Error + Send + Sync>;

impl Node {
    /// Attaches to each of the VM's interfaces, the outer ones first, and to no others any more.
    pub(crate) fn attach_to_interfaces(&mut self, enrolment: &Enrolment<'_>) -> Result<(), LoadError> {
        let mut interfaces: Vec<_> = enrolment.interfaces.iter().collect();
        interfaces.sort_by_key(|interface| interface.side == Side::Guest);
        for interface in &interfaces {
            for (program, direction) in interface.side.programs() {
                self.attach_to_interface(enrolment, interface, program, *direction)?;
            }
        }
        let wanted = |program: &str, index| {
            let mut same = interfaces.iter().filter(|interface| interface.index == index);
            same.any(|interface| interface.side.programs().iter().any(|(name, _)| *name == program))
        };
        let gone =
            |error: io::Error| LoadError::Interface { interface: "it had before".to_owned(), source: error.into() };
        self.detach_from_interfaces(enrolment.cookie, wanted).map_err(gone)
    }

    /// A link is made in the namespace of the thread that makes it: a thread of its own, which ends there.
    fn attach_to_interface(
        &mut self,
        enrolment: &Enrolment<'_>,
        interface: &Interface,
        name: &'static str,
        direction: TcAttachType,
    ) -> Result<(), LoadError> {
        let pin = interface_pin(&self.pins, name, enrolment.cookie, interface.index);
        let program = self.ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
        let attached = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                setns(enrolment.netns, CloneFlags::CLONE_NEWNET)?;
                attach(program.try_into()?, direction, &interface.name, &pin)
            });
            work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        attached.map_err(|source| LoadError::Interface { interface: interface.name.clone(), source })
    }

    /// Detaches from a namespace's interfaces but those that `keep` names by program and number.
    pub(crate) fn detach_from_interfaces(&self, cookie: u64, keep: impl Fn(&str, u32) -> bool) -> io::Result<()> {
        for (program, of, index) in pinned_interfaces(&self.pins).filter(|(_, of, _)| *of == cookie) {
            if !keep(program, index) {
                fs::remove_file(interface_pin(&self.pins, program, of, index))?;
            }
        }
        Ok(())
    }
}

/// Attaches in the current namespace. A link that an earlier agent left gets the program of this one: the
/// kernel lets no program stand twice at one interface.
fn attach(program: &mut SchedClassifier, direction: TcAttachType, interface: &str, pin: &Path) -> Result<(), Refusal> {
    // Not before there is a VM: nobody else needs it.
    if program.fd().is_err() {
        program.load()?;
    }
    if let Some(link) = earlier(pin)? {
        match program.attach_to_link(link) {
            // The pin holds it.
            Ok(id) => return program.take_link(id).map(drop).map_err(Into::into),
            // The interface went, and its link with it.
            Err(error) => tracing::debug!(%error, interface, "attaching anew"),
        }
    }
    // Before others' programs, whose verdict may be the last word.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(interface, direction, options)?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    replace_pin(pin, link)
}

fn earlier(pin: &Path) -> Result<Option<SchedClassifierLink>, LinkError> {
    match PinnedLink::from_pin(pin) {
        Ok(link) => FdLink::from(link).try_into().map(Some),
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
