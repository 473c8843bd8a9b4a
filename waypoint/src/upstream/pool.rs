//! HTTP connections kept for reuse, per worker: by who asks, whom, and how.
//!
//! A connection carries one client's requests only: its tunnel names that client to the destination's node,
//! whose policy goes by it.

mod http1;
mod http2;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use ambit_balance::{Limits, Permit};
use ambit_l7::{Credential, CredentialError, TrafficPolicy};
use ambit_model::{Identity, ServiceKey};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::dial::{DialError, Wanted};
use crate::plan::Speak;
use crate::worker::Worker;

pub(super) use http1::{Http1, Http1Lease, Switched};
pub(super) use http2::Http2Lease;

/// How long a connection without requests is kept where nothing else is said: as long as tunnels are.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a connection takes new requests where nothing else is said: what its peers proved of themselves
/// when it was made is to be proved again.
const LONGEST_USE: Duration = Duration::from_secs(3600);

/// How often idle connections are looked at.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// Connections with all of these alike may carry each other's requests.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Whose requests, where the connection says so: through a tunnel, or after a PROXY header.
    pub(super) client: Option<(Identity, IpAddr)>,
    /// The client's port, where the connection says even that.
    pub(super) client_port: u16,
    /// Where it ends.
    pub(super) address: SocketAddr,
    /// The service whose names its peer may show, where it has any of its own.
    pub(super) service: Option<ServiceKey>,
    /// What TLS to the application is for, where that is the request's to say.
    pub(super) server_name: Option<Arc<str>>,
    /// What is spoken.
    pub(super) speak: Speak,
    /// How endpoints are used. Compared by pointer: another policy makes other connections.
    pub(super) policy: Arc<TrafficPolicy>,
    /// What the policy's credentials are, or why there are none: what was proved by others admits no new request.
    pub(super) given: Result<Option<Credential>, CredentialError>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
            && Arc::ptr_eq(&self.policy, &other.policy)
            && self.speak == other.speak
            && self.client_port == other.client_port
            && self.client == other.client
            && self.service == other.service
            && self.server_name == other.server_name
            && self.given == other.given
    }
}

impl Eq for Key {}

impl Hash for Key {
    /// The rest hardly ever tells two keys apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.address, Arc::as_ptr(&self.policy), self.client_port).hash(state);
        self.client.as_ref().map(|(identity, ip)| (identity.service_account(), ip)).hash(state);
    }
}

/// Why there is no connection for a request.
#[derive(Debug)]
pub(super) enum PoolError {
    /// A limit: of what.
    Overflow(&'static str),
    /// None came about.
    Dial(DialError),
}

/// What a connection is asked for with.
pub(super) struct Asked<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) limits: Option<&'a Arc<Limits>>,
    /// Made only where a connection has to be.
    pub(super) wanted: &'a dyn Fn() -> Wanted,
}

/// All connections of a worker.
#[derive(Default)]
pub(super) struct Pools {
    hosts: RefCell<HashMap<Key, Rc<Host>>>,
    addresses: RefCell<HashMap<SocketAddr, Rc<Endpoint>>>,
    is_swept: Cell<bool>,
}

/// All connections to one address: of whichever keys, since the limits do not ask whose they are.
#[derive(Default)]
struct Endpoint {
    /// Open connections, used or not.
    open: Cell<usize>,
    hosts: RefCell<Vec<Weak<Host>>>,
}

/// Connections of one key.
pub(super) struct Host {
    policy: Arc<TrafficPolicy>,
    endpoint: Rc<Endpoint>,
    /// Connections without a request, the last used last.
    idle: RefCell<Vec<Http1>>,
    /// Requests that wait for a connection to come free, or for room to make one.
    waiting: RefCell<VecDeque<oneshot::Sender<Option<Http1>>>>,
    shared: http2::Shared,
    /// Open connections, used or not.
    open: Cell<usize>,
}

impl Pools {
    /// The connections of a key.
    pub(super) fn host(&self, worker: &Rc<Worker>, key: &Key) -> Rc<Host> {
        if let Some(host) = self.hosts.borrow().get(key) {
            return Rc::clone(host);
        }
        if !self.is_swept.replace(true) {
            spawn_local(sweep(Rc::downgrade(worker)));
        }
        let endpoint = Rc::clone(self.addresses.borrow_mut().entry(key.address).or_default());
        let host = Rc::new(Host {
            policy: Arc::clone(&key.policy),
            endpoint: Rc::clone(&endpoint),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            shared: http2::Shared::default(),
            open: Cell::new(0),
        });
        endpoint.hosts.borrow_mut().push(Rc::downgrade(&host));
        self.hosts.borrow_mut().insert(key.clone(), Rc::clone(&host));
        host
    }

    /// Closes connections that are idle for too long, and forgets hosts without any.
    fn tidy(&self) {
        let now = Instant::now();
        self.hosts.borrow_mut().retain(|_, host| {
            host.tidy(now);
            // Who uses it, or waits for it, holds it.
            host.open.get() > 0 || Rc::strong_count(host) > 1
        });
        self.addresses.borrow_mut().retain(|_, endpoint| {
            endpoint.hosts.borrow_mut().retain(|host| host.strong_count() > 0);
            Rc::strong_count(endpoint) > 1
        });
    }
}

async fn sweep(worker: std::rc::Weak<Worker>) {
    loop {
        sleep(SWEEP_PERIOD).await;
        let Some(worker) = worker.upgrade() else { return };
        worker.upstreams.pools.tidy();
        worker.upstreams.groups.tick();
    }
}

impl Host {
    fn tidy(&self, now: Instant) {
        let longest = self.policy.pool.http.idle_timeout.unwrap_or(IDLE_TIMEOUT);
        self.idle.borrow_mut().retain(|connection| connection.is_kept(now, longest));
        self.shared.tidy(now, longest);
        // Room may have come elsewhere: at another worker, or because who was told of it gave up.
        self.waiting.borrow_mut().retain(|waiting| !waiting.is_closed());
        self.tell_of_room();
    }

    /// When a connection made now takes its last request.
    fn until(&self) -> Instant {
        Instant::now() + self.policy.pool.tcp.max_duration.unwrap_or(LONGEST_USE)
    }

    /// Most requests of a connection.
    fn most_requests(&self) -> u32 {
        self.policy.pool.http.max_requests_per_connection.filter(|most| *most > 0).unwrap_or(u32::MAX)
    }

    /// Leave for one more connection. As in the field every endpoint may have one at each worker, whatever the
    /// limit: or who holds all of them to one endpoint would keep the others from ever being asked.
    fn may_open(&self, limits: Option<&Arc<Limits>>) -> Option<Option<Permit>> {
        match limits.map(Limits::connection) {
            None => Some(None),
            Some(Ok(permit)) => Some(Some(permit)),
            Some(Err(_)) => (self.endpoint.open.get() == 0).then_some(None),
        }
    }

    /// Lets one that waits look whether it may make a connection; says whether there was one.
    fn tell_of_room(&self) -> bool {
        while let Some(waiting) = self.waiting.borrow_mut().pop_front() {
            if waiting.send(None).is_ok() {
                return true;
            }
        }
        false
    }
}

impl Endpoint {
    /// Closes a connection that is of no use to whom it belongs to just now, to make room for one of `asking`; says
    /// whether there was one.
    fn close_idle(&self, asking: &Host) -> bool {
        let hosts: Vec<_> = self.hosts.borrow().iter().filter_map(Weak::upgrade).collect();
        let mut others = hosts.iter().filter(|host| !std::ptr::eq(&raw const ***host, asking));
        others.any(|host| {
            let is_idle = !host.idle.borrow().is_empty();
            // The oldest.
            let closed = is_idle.then(|| host.idle.borrow_mut().remove(0));
            closed.is_some() || host.shared.close_idle()
        })
    }

    /// Tells one that waits for a connection to here, whoever it is for.
    fn tell_of_room(&self) {
        let hosts: Vec<_> = self.hosts.borrow().iter().filter_map(Weak::upgrade).collect();
        hosts.iter().any(|host| host.tell_of_room());
    }
}

/// An open connection, as long as it is.
struct Open {
    host: Rc<Host>,
    permit: Option<Permit>,
}

impl Open {
    fn new(host: &Rc<Host>, permit: Option<Permit>) -> Self {
        host.open.set(host.open.get() + 1);
        host.endpoint.open.set(host.endpoint.open.get() + 1);
        Self { host: Rc::clone(host), permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.host.open.set(self.host.open.get() - 1);
        self.host.endpoint.open.set(self.host.endpoint.open.get() - 1);
        // Before anybody is told that there is room.
        drop(self.permit.take());
        if !self.host.tell_of_room() {
            self.host.endpoint.tell_of_room();
        }
    }
}
