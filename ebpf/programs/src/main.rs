//! Ambit's kernel programs, one file an attach point. Together they bring an enrolled pod's TCP
//! connections to the node agent and let its own and the node's pass; they decide nothing else.
//!
//! ```text
//!  app connect() ── connect ──► rewrites to the pod's own IP:15001, keeps the original by socket
//!                   sock_ops ─► publishes it by flow, for the agent's accept
//!  app getpeername ─ getpeername ► answers the original
//!  SYN arrives ──── sk_lookup ► the agent's listener, but for what sock_ops recorded in PASS
//!  VM's packets ─── tc ─────► the same for a guest, whose sockets are not this kernel's
//! ```
#![no_std]
#![no_main]
// The kernel target has no stable inline assembly yet; `build-ebpf` allows it.
#![feature(asm_experimental_arch)]

#[macro_use]
mod context;
mod connect;
mod getpeername;
mod maps;
mod packet;
mod sk_lookup;
mod sock_addr;
mod sock_ops;
mod tc;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the kernel's verifier refuses any program in which this could be reached.
    unsafe { core::hint::unreachable_unchecked() }
}

/// The kernel lets only programs under a GPL-compatible licence call some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
