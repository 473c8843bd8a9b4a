//! Network namespaces: opened by file, entered for the length of a closure.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

/// Why a network namespace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// The file cannot be opened.
    #[error("cannot open the network namespace {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be entered: not a network namespace, or CAP_SYS_ADMIN is missing.
    #[error("cannot enter the network namespace {}", path.display())]
    Enter {
        /// Which.
        path: PathBuf,
        /// Why.
        source: nix::Error,
    },
    /// Its cookie cannot be read: the kernel is before 5.14.
    #[error("cannot read the cookie of the network namespace {}", path.display())]
    Cookie {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A network namespace, kept alive by its open file.
#[derive(Debug)]
pub struct NetNs {
    path: PathBuf,
    file: File,
    /// The namespace this process lives in, to come back to.
    home: File,
    cookie: u64,
    inode: (u64, u64),
}

impl NetNs {
    /// Opens the namespace at `path` and reads its cookie.
    pub fn open(path: &Path) -> Result<Self, NetNsError> {
        let open = |path: &Path| File::open(path).map_err(|source| NetNsError::Open { path: path.to_owned(), source });
        let file = open(path)?;
        let home = open(Path::new("/proc/self/ns/net"))?;
        let metadata = file.metadata().map_err(|source| NetNsError::Open { path: path.to_owned(), source })?;
        let mut netns = Self { path: path.to_owned(), file, home, cookie: 0, inode: (metadata.dev(), metadata.ino()) };
        netns.cookie =
            netns.run(cookie_here)?.map_err(|source| NetNsError::Cookie { path: path.to_owned(), source })?;
        Ok(netns)
    }

    /// The namespace this process lives in.
    pub fn own() -> Result<Self, NetNsError> {
        Self::open(Path::new("/proc/self/ns/net"))
    }

    /// The kernel's cookie: unique and never reused while the kernel runs.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode of the namespace: its name for as long as it lives, which is as long as this does.
    #[must_use]
    pub fn inode(&self) -> (u64, u64) {
        self.inode
    }

    /// Whether its path still leads to it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.inode)
    }

    /// Whether its path leads to another namespace by now: the pod was made anew. A path that leads
    /// nowhere says nothing: processes may live on in the namespace.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) != self.inode)
    }

    /// Runs `work` on this thread inside the namespace. Sockets it makes stay there; the thread comes
    /// back, also when `work` panics.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, NetNsError> {
        self.enter(&self.file)?;
        let _home = ComeHome(self);
        Ok(work())
    }

    fn enter(&self, namespace: &File) -> Result<(), NetNsError> {
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .map_err(|source| NetNsError::Enter { path: self.path.clone(), source })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

struct ComeHome<'a>(&'a NetNs);

impl Drop for ComeHome<'_> {
    fn drop(&mut self) {
        if self.0.enter(&self.0.home).is_err() {
            // A thread lost in a pod's namespace would open the node's sockets there: anything is
            // better than going on.
            std::process::abort();
        }
    }
}

/// The cookie of the namespace this thread is in.
fn cookie_here() -> io::Result<u64> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"))?;
    let mut cookie: u64 = 0;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the pointers are to live locals of the sizes given.
    #[expect(unsafe_code, reason = "no library has SO_NETNS_COOKIE")]
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_namespace_is_named() {
        let error = NetNs::open(Path::new("/run/netns/no-such-pod")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open the network namespace /run/netns/no-such-pod");
    }
}
