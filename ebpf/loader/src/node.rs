//! One node's programs: loaded and attached once, their maps kept as the agent wants them.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;

use ambit_ebpf_types::{Destination, FAULTS, FlowKey, Ip, LAYOUT_VERSION, ListenerKey, NO_IP, NodeConfig, Pod, is_v4};
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError, PerCpuArray, SockHash};
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSockAddr, Program, SockOps};
use aya::{Ebpf, EbpfLoader};

use crate::bpffs::{self, MountError};
use crate::interfaces::Interface;
use crate::maps::{AgentSockets, FaultCount, MapFault, OriginalDestinations, Wire, ip};
use crate::pins::{GUEST_LOOKUP, SK_LOOKUP, pinned_namespaces, replace_pin};
use crate::uninstall::{UninstallError, remove_layouts};

/// The kernel programs, embedded by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ambit-ebpf.o"));

/// Programs of the cgroup root, in the order they are attached: `connect` last, so that nothing is
/// rewritten before what serves the rewritten connection is in place.
const CGROUP_PROGRAMS: [&str; 5] =
    ["ambit_getpeername4", "ambit_getpeername6", "ambit_sock_ops", "ambit_connect4", "ambit_connect6"];

/// What a node's programs are loaded with.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The cgroup v2 directory whose processes are captured; a node's root.
    pub cgroup: PathBuf,
    /// Directory of this node's pins on a bpf file system; no other agent uses it.
    pub pins: PathBuf,
    /// What holds for the whole node.
    pub config: NodeConfig,
}

/// Where loading failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStage {
    /// The kernel refused the program.
    Load,
    /// The program could not be attached.
    Attach,
    /// The link could not be pinned.
    Pin,
}

/// Why a node's programs are not in place.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No place for pins.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The object or its maps.
    #[error("the kernel refused the maps (is the kernel at least 5.15, and this process root?)")]
    Object(#[source] Box<aya::EbpfError>),
    /// The object lacks a program or map this code names: they were built apart.
    #[error("the embedded object has no {0}: run `cargo xtask build-ebpf` and build again")]
    Missing(&'static str),
    /// A program.
    #[error("kernel program {program}: {stage:?} failed")]
    Program {
        /// Which.
        program: &'static str,
        /// Where.
        stage: LoadStage,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An interface of a virtual machine.
    #[error("cannot attach to the interface {interface} of a virtual machine (this needs Linux 6.6)")]
    Interface {
        /// Which.
        interface: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cgroup directory.
    #[error("cannot open the cgroup {}", path.display())]
    Cgroup {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A map.
    #[error(transparent)]
    Map(#[from] MapFault),
}

/// What the kernel must know of a pod to capture it.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// Its network namespace.
    pub netns: BorrowedFd<'a>,
    /// The namespace's cookie.
    pub cookie: u64,
    /// Its addresses.
    pub pod: Pod,
    /// The agent's listeners in it.
    pub listeners: &'a [(ListenerKey, RawFd)],
    /// The namespace's interfaces if the pod is a virtual machine behind one of them; else none.
    pub interfaces: &'a [Interface],
}

/// One node's programs and maps.
#[derive(Debug)]
pub struct Node {
    pub(crate) ebpf: Ebpf,
    pub(crate) pins: PathBuf,
    config: NodeConfig,
    /// What `DESTINATIONS` holds.
    destinations: HashSet<Ip>,
}

impl Node {
    /// Loads and attaches everything, taking over the pinned maps of an earlier agent of this node:
    /// pods it enrolled stay captured throughout.
    pub fn load(options: &NodeOptions) -> Result<Self, LoadError> {
        let pins = options.pins.join(format!("v{LAYOUT_VERSION}"));
        bpffs::prepare(options.pins.parent().unwrap_or(&options.pins), &pins)?;
        let ebpf = EbpfLoader::new()
            .default_map_pin_directory(&pins)
            .load(OBJECT)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        let mut node = Self { ebpf, pins, config: options.config, destinations: HashSet::new() };
        node.write_config()?;
        node.destinations = node.read_destinations()?;
        let cgroup =
            File::open(&options.cgroup).map_err(|source| LoadError::Cgroup { path: options.cgroup.clone(), source })?;
        for name in CGROUP_PROGRAMS {
            node.attach_to_cgroup(name, &cgroup)?;
        }
        node.sk_lookup(SK_LOOKUP)?;
        Ok(node)
    }

    fn write_config(&mut self) -> Result<(), MapFault> {
        let config = self.config;
        let mut array: Array<_, Wire<NodeConfig>> =
            Array::try_from(self.map_mut("CONFIG")?).map_err(fault("CONFIG", "open"))?;
        array.set(0, Wire(config), 0).map_err(fault("CONFIG", "write"))
    }

    fn attach_to_cgroup(&mut self, name: &'static str, cgroup: &File) -> Result<(), LoadError> {
        let mode = CgroupAttachMode::Single; // a link is "multi" by itself
        let program = self.ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
        let link = if let Program::CgroupSockAddr(program) = program {
            attach_sock_addr(program, cgroup, mode)
        } else if let Program::SockOps(program) = program {
            attach_sock_ops(program, cgroup, mode)
        } else {
            return Err(LoadError::Missing(name));
        };
        let link = link.map_err(|(stage, error)| failed(name, stage, error))?;
        replace_pin(&self.pins.join(format!("link-{name}")), link).map_err(|error| LoadError::Program {
            program: name,
            stage: LoadStage::Pin,
            source: error,
        })
    }

    /// Pods that the kernel captures now, by namespace cookie; also those it captures in one direction
    /// only, because an agent ended half-way.
    pub fn enrolled(&self) -> Result<BTreeMap<u64, Pod>, MapFault> {
        let map = self.ebpf.map("PODS").ok_or_else(|| missing("PODS"))?;
        let pods: BpfHashMap<_, u64, Wire<Pod>> = BpfHashMap::try_from(map).map_err(fault("PODS", "open"))?;
        let mut all: BTreeMap<_, _> = pinned_namespaces(&self.pins).map(|cookie| (cookie, Pod::default())).collect();
        let addresses = self.ebpf.map("POD_ADDRESSES").ok_or_else(|| missing("POD_ADDRESSES"))?;
        let addresses: BpfHashMap<_, Wire<Ip>, u64> =
            BpfHashMap::try_from(addresses).map_err(fault("POD_ADDRESSES", "open"))?;
        for entry in addresses.iter() {
            let (Wire(address), cookie) = entry.map_err(fault("POD_ADDRESSES", "read"))?;
            if let Some(pod) = all.get_mut(&cookie) {
                *(if is_v4(&address) { &mut pod.ip4 } else { &mut pod.ip6 }) = address;
            }
        }
        for entry in pods.iter() {
            let (cookie, Wire(pod)) = entry.map_err(fault("PODS", "read"))?;
            all.insert(cookie, pod);
        }
        Ok(all)
    }

    /// Captures a pod, wholly or not at all. One that is captured already stays so throughout, and if it
    /// cannot be captured anew, as it was.
    pub fn enrol(&mut self, enrolment: &Enrolment<'_>) -> Result<(), LoadError> {
        let before = self.enrolled()?.remove(&enrolment.cookie);
        let captured = self.capture(enrolment);
        match (&captured, before) {
            (Ok(()), Some(before)) => self.forget_addresses(enrolment.cookie, before, enrolment.pod)?,
            (Err(_), None) => {
                if let Err(error) = self.release(enrolment.cookie, enrolment.pod) {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot undo half a capture");
                }
            }
            (Ok(()), None) | (Err(_), Some(_)) => {}
        }
        captured
    }

    /// The order matters: the inbound side first, the outbound side last, so that nothing is redirected
    /// to what is not there yet.
    fn capture(&mut self, enrolment: &Enrolment<'_>) -> Result<(), LoadError> {
        let mut listeners: SockHash<_, Wire<ListenerKey>> =
            SockHash::try_from(self.map_mut("LISTENERS")?).map_err(fault("LISTENERS", "open"))?;
        for (key, listener) in enrolment.listeners {
            listeners.insert(Wire(*key), Socket(*listener), 0).map_err(fault("LISTENERS", "insert"))?;
        }
        let mut addresses: BpfHashMap<_, Wire<Ip>, u64> =
            BpfHashMap::try_from(self.map_mut("POD_ADDRESSES")?).map_err(fault("POD_ADDRESSES", "open"))?;
        for address in known(enrolment.pod) {
            addresses.insert(Wire(address), enrolment.cookie, 0).map_err(fault("POD_ADDRESSES", "insert"))?;
        }
        if !enrolment.interfaces.is_empty() {
            self.attach_to_netns(GUEST_LOOKUP, enrolment)?;
            self.attach_to_interfaces(enrolment)?;
            // Sockets in its namespace are not the VM's.
            return Ok(self.release_sockets(enrolment.cookie)?);
        }
        self.attach_to_netns(SK_LOOKUP, enrolment)?;
        let mut pods: BpfHashMap<_, u64, Wire<Pod>> =
            BpfHashMap::try_from(self.map_mut("PODS")?).map_err(fault("PODS", "open"))?;
        pods.insert(enrolment.cookie, Wire(enrolment.pod), 0).map_err(fault("PODS", "insert"))?;
        Ok(self.release_interfaces(enrolment.cookie)?)
    }

    /// Lets a pod go: outbound first, then inbound. What is already gone is fine.
    pub fn release(&mut self, cookie: u64, pod: Pod) -> Result<(), MapFault> {
        self.release_sockets(cookie)?;
        self.release_interfaces(cookie)?;
        self.detach_from_netns(cookie)?;
        self.forget_addresses(cookie, pod, Pod::default())
    }

    fn release_interfaces(&self, cookie: u64) -> Result<(), MapFault> {
        let fault = |error| MapFault { map: "interfaces", action: "unpin", source: MapError::IoError(error) };
        self.detach_from_interfaces(cookie, |_, _| false).map_err(fault)
    }

    fn release_sockets(&mut self, cookie: u64) -> Result<(), MapFault> {
        let mut pods: BpfHashMap<_, u64, Wire<Pod>> =
            BpfHashMap::try_from(self.map_mut("PODS")?).map_err(fault("PODS", "open"))?;
        absent_is_fine(pods.remove(&cookie)).map_err(fault("PODS", "remove"))
    }

    /// Removes a pod's addresses but for those in `keep`, and those that are its successor's by now.
    fn forget_addresses(&mut self, cookie: u64, pod: Pod, keep: Pod) -> Result<(), MapFault> {
        let mut owners: BpfHashMap<_, Wire<Ip>, u64> =
            BpfHashMap::try_from(self.map_mut("POD_ADDRESSES")?).map_err(fault("POD_ADDRESSES", "open"))?;
        for address in known(pod).filter(|address| known(keep).all(|kept| kept != *address)) {
            if owners.get(&Wire(address), 0).is_ok_and(|owner| owner == cookie) {
                absent_is_fine(owners.remove(&Wire(address))).map_err(fault("POD_ADDRESSES", "remove"))?;
            }
        }
        Ok(())
    }

    /// Makes `DESTINATIONS` hold exactly `wanted`. If that cannot be done every destination is taken for
    /// the mesh's: the agent knows better, and nothing goes out uncaptured by accident.
    pub fn set_destinations(&mut self, wanted: impl Iterator<Item = IpAddr>) -> Result<(), MapFault> {
        let filled = self.fill_destinations(wanted.map(ip).collect());
        let capture_all = u32::from(filled.is_err());
        if self.config.capture_all != capture_all {
            self.config.capture_all = capture_all;
            self.write_config()?;
        }
        filled
    }

    /// Additions first, so that no connection to a mesh destination goes by uncaptured in between.
    fn fill_destinations(&mut self, wanted: HashSet<Ip>) -> Result<(), MapFault> {
        let map = self.ebpf.map_mut("DESTINATIONS").ok_or_else(|| missing("DESTINATIONS"))?;
        let mut map: BpfHashMap<_, Wire<Ip>, u32> = BpfHashMap::try_from(map).map_err(fault("DESTINATIONS", "open"))?;
        for address in wanted.difference(&self.destinations) {
            map.insert(Wire(*address), 1, 0).map_err(fault("DESTINATIONS", "insert"))?;
        }
        for address in self.destinations.difference(&wanted) {
            absent_is_fine(map.remove(&Wire(*address))).map_err(fault("DESTINATIONS", "remove"))?;
        }
        self.destinations = wanted;
        Ok(())
    }

    fn read_destinations(&self) -> Result<HashSet<Ip>, MapFault> {
        let map = self.ebpf.map("DESTINATIONS").ok_or_else(|| missing("DESTINATIONS"))?;
        let map: BpfHashMap<_, Wire<Ip>, u32> = BpfHashMap::try_from(map).map_err(fault("DESTINATIONS", "open"))?;
        map.keys().map(|key| key.map(|Wire(key)| key).map_err(fault("DESTINATIONS", "read"))).collect()
    }

    /// Removes what agents of another layout left pinned: to be called when all their pods are captured
    /// anew. Until then their programs still hold those pods, and the agent refuses what they bring.
    pub fn retire_other_layouts(&self) -> Result<(), UninstallError> {
        let all = self.pins.parent().unwrap_or(&self.pins);
        remove_layouts(all, Some(&self.pins))
    }

    /// A worker's own handle on the original destinations.
    pub fn original_destinations(&self) -> Result<OriginalDestinations, MapFault> {
        let name = "ORIGINAL_BY_FLOW";
        let data = MapData::from_pin(self.pins.join(name)).map_err(fault(name, "open"))?;
        let flows: BpfHashMap<_, Wire<FlowKey>, Wire<Destination>> =
            BpfHashMap::try_from(Map::LruHashMap(data)).map_err(fault(name, "open"))?;
        Ok(OriginalDestinations { flows })
    }

    /// A worker's own handle on the agent's sockets.
    pub fn agent_sockets(&self) -> Result<AgentSockets, MapFault> {
        let name = "AGENT_SOCKETS";
        let data = MapData::from_pin(self.pins.join(name)).map_err(fault(name, "open"))?;
        let sockets = BpfHashMap::try_from(Map::LruHashMap(data)).map_err(fault(name, "open"))?;
        Ok(AgentSockets { sockets })
    }

    /// How often each fault was met.
    pub fn faults(&self) -> Result<Vec<FaultCount>, MapFault> {
        let map = self.ebpf.map("FAULTS").ok_or_else(|| missing("FAULTS"))?;
        let map: PerCpuArray<_, u64> = PerCpuArray::try_from(map).map_err(fault("FAULTS", "open"))?;
        FAULTS
            .iter()
            .map(|(index, name)| {
                let values = map.get(&(*index as u32), 0).map_err(fault("FAULTS", "read"))?;
                Ok(FaultCount { name, count: values.iter().sum() })
            })
            .collect()
    }

    pub(crate) fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, MapFault> {
        self.ebpf.map_mut(name).ok_or_else(|| missing(name))
    }
}

/// A socket to put into a socket map: the map takes its own reference.
struct Socket(RawFd);

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

type StageError = (LoadStage, aya::programs::ProgramError);

fn attach_sock_addr(program: &mut CgroupSockAddr, cgroup: &File, mode: CgroupAttachMode) -> Result<FdLink, StageError> {
    let at = |stage| move |error| (stage, error);
    program.load().map_err(at(LoadStage::Load))?;
    let id = program.attach(cgroup.as_fd(), mode).map_err(at(LoadStage::Attach))?;
    let link = program.take_link(id).map_err(at(LoadStage::Attach))?;
    link.try_into().map_err(|error: aya::programs::links::LinkError| (LoadStage::Pin, link_error(&error)))
}

fn attach_sock_ops(program: &mut SockOps, cgroup: &File, mode: CgroupAttachMode) -> Result<FdLink, StageError> {
    let at = |stage| move |error| (stage, error);
    program.load().map_err(at(LoadStage::Load))?;
    let id = program.attach(cgroup.as_fd(), mode).map_err(at(LoadStage::Attach))?;
    let link = program.take_link(id).map_err(at(LoadStage::Attach))?;
    link.try_into().map_err(|error: aya::programs::links::LinkError| (LoadStage::Pin, link_error(&error)))
}

/// A kernel before 5.7 has no cgroup links; nothing else makes this fail.
fn link_error(error: &aya::programs::links::LinkError) -> aya::programs::ProgramError {
    aya::programs::ProgramError::IOError(io::Error::other(error.to_string()))
}

/// The addresses a pod has.
fn known(pod: Pod) -> impl Iterator<Item = Ip> {
    [pod.ip4, pod.ip6].into_iter().filter(|address| *address != NO_IP)
}

pub(crate) fn failed(
    program: &'static str,
    stage: LoadStage,
    error: impl std::error::Error + Send + Sync + 'static,
) -> LoadError {
    LoadError::Program { program, stage, source: Box::new(error) }
}

pub(crate) fn fault(map: &'static str, action: &'static str) -> impl Fn(MapError) -> MapFault {
    move |source| MapFault { map, action, source }
}

fn missing(map: &'static str) -> MapFault {
    MapFault { map, action: "find", source: MapError::KeyNotFound }
}

pub(crate) fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
