//! The way back for replies inside a pod. The agent's last hop connects to the application with the
//! client's own address; the application's replies go to that address, which is elsewhere. The mark
//! of the agent's socket travels with the connection (`tcp_fwmark_accept`), and with a refusal
//! (`fwmark_reflect`); one rule and one route a family bring marked packets back to the pod itself.
//! For a virtual machine the kernel programs mark the packets that are for the agent, either way; marked
//! packets that come in are delivered to the agent, and marked answers of the kernel go out as others do.
//! No iptables, no connection tracking.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ambit_ebpf_types::GUEST_MARK;
use ambit_sys::{NetNs, NetNsError, TRANSPARENT_MARK};
use nix::errno::Errno;
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::packet_route::rule::RuleAction;
use rtnetlink::{Handle, RouteMessageBuilder};

/// Routing table of marked packets; the number ambient meshes use.
const TABLE: u32 = 100;
/// Before the main table (32766), after the local one (0).
const PRIORITY: u32 = 100;
const MAIN_TABLE: u32 = 254;
/// Loopback is the first interface of every namespace.
const LOOPBACK: u32 = 1;

/// Which address families a pod has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Of these addresses.
    pub(crate) fn of(addresses: &[IpAddr]) -> Self {
        Self { v4: addresses.iter().any(IpAddr::is_ipv4), v6: addresses.iter().any(IpAddr::is_ipv6) }
    }
}

/// Why a pod's routing is not in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoutingError {
    /// Its namespace.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// A kernel setting.
    #[error("cannot set {} in the pod", path.display())]
    Sysctl {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Netlink itself.
    #[error("cannot speak netlink in the pod")]
    Netlink(#[source] io::Error),
    /// The rule or route.
    #[error("cannot change the {what} in the pod")]
    Change {
        /// Rule or route, of which family.
        what: &'static str,
        /// Why.
        source: rtnetlink::Error,
    },
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// A routing rule: packets with this mark take this table.
#[derive(Clone, Copy)]
struct Rule {
    mark: u32,
    table: u32,
    priority: u32,
    /// Only those sent from here, not those that come in.
    sent: bool,
}

/// Replies to the agent's last hop, which connects as the client.
const REPLIES: Rule = Rule { mark: TRANSPARENT_MARK, table: TABLE, priority: PRIORITY, sent: false };
/// A virtual machine's packets for the agent; and what the kernel answers to them, with the same mark.
const GUEST: [Rule; 2] = [
    Rule { mark: GUEST_MARK, table: MAIN_TABLE, priority: PRIORITY - 1, sent: true },
    Rule { mark: GUEST_MARK, table: TABLE, priority: PRIORITY, sent: false },
];

/// Prepares a pod; what is already there is fine.
pub(crate) fn install(netns: &NetNs, families: Families, is_guest: bool) -> Result<(), RoutingError> {
    if is_guest {
        // Else a packet to the namespace itself could be passed on to the guest behind the programs' back.
        netns.run(|| set("/proc/sys/net/ipv4/conf/all/accept_source_route", "0"))??;
        return change(netns, families, Change::Add, &GUEST);
    }
    netns.run(|| {
        set("/proc/sys/net/ipv4/tcp_fwmark_accept", "1")?;
        set("/proc/sys/net/ipv4/fwmark_reflect", "1")?;
        set("/proc/sys/net/ipv4/conf/lo/rp_filter", "0")?;
        if families.v6 { set("/proc/sys/net/ipv6/fwmark_reflect", "1") } else { Ok(()) }
    })??;
    change(netns, families, Change::Add, &[REPLIES])
}

/// Takes the rules and the route away again; what is already gone is fine. The kernel settings
/// stay: without marked packets they do nothing.
pub(crate) fn remove(netns: &NetNs, families: Families) -> Result<(), RoutingError> {
    change(netns, families, Change::Remove, &[REPLIES, GUEST[0], GUEST[1]])
}

fn set(path: &str, value: &str) -> Result<(), RoutingError> {
    let current = fs::read_to_string(path).unwrap_or_default();
    if current.trim() == value {
        return Ok(());
    }
    fs::write(path, value).map_err(|source| RoutingError::Sysctl { path: path.into(), source })
}

/// A netlink socket belongs to the namespace of the thread that opens it, and its driver must run
/// somewhere: a short-lived runtime on a thread of its own, so that neither the caller's runtime nor
/// its namespace is involved.
fn change(netns: &NetNs, families: Families, change: Change, rules: &[Rule]) -> Result<(), RoutingError> {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            netns.run(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(RoutingError::Netlink)?;
                runtime.block_on(speak(families, change, rules))
            })?
        });
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn speak(families: Families, change: Change, rules: &[Rule]) -> Result<(), RoutingError> {
    let (connection, handle, _messages) = rtnetlink::new_connection().map_err(RoutingError::Netlink)?;
    let driver = tokio::task::spawn(connection);
    let result = async {
        if families.v4 {
            for one in rules {
                rule(&handle, change, IpAddr::V4(Ipv4Addr::UNSPECIFIED), one).await?;
            }
            route(&handle, change, IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await?;
        }
        if families.v6 {
            for one in rules {
                rule(&handle, change, IpAddr::V6(Ipv6Addr::UNSPECIFIED), one).await?;
            }
            route(&handle, change, IpAddr::V6(Ipv6Addr::UNSPECIFIED)).await?;
        }
        Ok(())
    }
    .await;
    driver.abort();
    result
}

async fn rule(handle: &Handle, change: Change, family: IpAddr, rule: &Rule) -> Result<(), RoutingError> {
    let request = handle.rule().add().fw_mark(rule.mark).table_id(rule.table).priority(rule.priority);
    let request = request.action(RuleAction::ToTable);
    // What is sent from here "comes in" by loopback.
    let request = if rule.sent { request.input_interface("lo") } else { request };
    let message = match family {
        IpAddr::V4(_) => request.v4().message_mut().clone(),
        IpAddr::V6(_) => request.v6().message_mut().clone(),
    };
    let result = match change {
        Change::Add => {
            let mut add = handle.rule().add();
            *add.message_mut() = message;
            add.execute().await
        }
        Change::Remove => handle.rule().del(message).execute().await,
    };
    tolerate("routing rule", result)
}

async fn route(handle: &Handle, change: Change, family: IpAddr) -> Result<(), RoutingError> {
    let message = match family {
        IpAddr::V4(_) => RouteMessageBuilder::<Ipv4Addr>::new()
            .table_id(TABLE)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .output_interface(LOOPBACK)
            .build(),
        IpAddr::V6(_) => RouteMessageBuilder::<Ipv6Addr>::new()
            .table_id(TABLE)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .output_interface(LOOPBACK)
            .build(),
    };
    let result = match change {
        Change::Add => handle.route().add(message).execute().await,
        Change::Remove => handle.route().del(message).execute().await,
    };
    tolerate("route", result)
}

/// Already there when adding, already gone when removing.
fn tolerate(what: &'static str, result: Result<(), rtnetlink::Error>) -> Result<(), RoutingError> {
    match result {
        Ok(()) => Ok(()),
        Err(rtnetlink::Error::NetlinkError(error))
            if matches!(Errno::from_raw(-error.raw_code()), Errno::EEXIST | Errno::ENOENT | Errno::ESRCH) =>
        {
            Ok(())
        }
        Err(source) => Err(RoutingError::Change { what, source }),
    }
}
