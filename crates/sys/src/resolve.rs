//! Host names, as the system resolves them: by what this process finds in /etc/resolv.conf and, but for names with a
//! final dot, which glibc does not look for there, in /etc/hosts.
#![expect(unsafe_code, reason = "getaddrinfo, whose errors the standard library does not tell apart")]

use std::ffi::{CStr, CString};
use std::net::IpAddr;
use std::ptr;

use nix::sys::socket::{SockaddrLike, SockaddrStorage};

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such name, or it has no address of a family that this machine has.
    #[error("there is no such name")]
    NoSuchName,
    /// Nobody could say.
    #[error("{reason}")]
    Unavailable {
        /// The system's words.
        reason: String,
    },
}

/// The addresses of a host. Waits for as long as the system's resolver does, up to half a minute.
pub fn resolve(host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let host = CString::new(host).map_err(|_nul| ResolveError::NoSuchName)?;
    let hints = libc::addrinfo {
        // Of a family that this machine does not have no address is of use.
        ai_flags: libc::AI_ADDRCONFIG,
        ai_family: libc::AF_UNSPEC,
        // One of each address, not one for each kind of socket.
        ai_socktype: libc::SOCK_STREAM,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_addr: ptr::null_mut(),
        ai_canonname: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    };
    let mut list = ptr::null_mut();
    // SAFETY: the host ends with NUL, the hints have no pointers, and the list is taken into `Addresses` only where
    // it was made.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    match code {
        0 => Ok(Addresses(list).collect()),
        libc::EAI_NONAME | libc::EAI_NODATA | ADDRESS_FAMILY => Err(ResolveError::NoSuchName),
        code => Err(ResolveError::Unavailable { reason: words(code) }),
    }
}

/// `EAI_ADDRFAMILY`: the name has addresses, of a family that this machine has not.
const ADDRESS_FAMILY: i32 = -9;

fn words(code: i32) -> String {
    if code == libc::EAI_SYSTEM {
        return std::io::Error::last_os_error().to_string();
    }
    // SAFETY: it takes any code.
    let text = unsafe { libc::gai_strerror(code) };
    // SAFETY: a text that ends with NUL, and lives as long as the program.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// What was found, given back when it is dropped.
struct Addresses(*mut libc::addrinfo);

impl Addresses {
    fn collect(&self) -> Vec<IpAddr> {
        let mut all = Vec::new();
        let mut next = self.0;
        // SAFETY: the list's pointers are valid, or null at its end, until it is given back.
        while let Some(found) = unsafe { next.as_ref() } {
            // SAFETY: an address of this length, of the family it says.
            let address = unsafe { SockaddrStorage::from_raw(found.ai_addr, Some(found.ai_addrlen)) };
            all.extend(address.and_then(|address| ip(&address)));
            next = found.ai_next;
        }
        all
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        // SAFETY: made by getaddrinfo, and given back once.
        unsafe { libc::freeaddrinfo(self.0) };
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_name_server_is_found() {
        assert_eq!(resolve("192.0.2.7"), Ok(vec![IpAddr::from([192, 0, 2, 7])]));
        assert_eq!(resolve("nul\0nul"), Err(ResolveError::NoSuchName));
    }
}
