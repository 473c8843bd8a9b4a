//! Long connections, and requests that go on for long (`request/again.rs`), so that each can be judged again when what
//! is in force changes, and cut if it would be denied now. One list a worker; nothing is shared. Other requests are not
//! on it: each is judged once, when it comes.
//!
//! No change is missed: a connection registers and is judged in one go without awaiting, and the list is judged
//! again, on the same thread, after every publication.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ambit_model::DenyReason;
use tokio::sync::Notify;

use crate::in_force::InForce;

/// Judges a connection by what is in force.
type Judge = Box<dyn Fn(&Arc<InForce>) -> Result<(), DenyReason>>;

/// The long connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    next: Cell<u64>,
    open: RefCell<HashMap<u64, Rc<Open>>>,
}

struct Open {
    judge: Judge,
    verdict: RefCell<Option<DenyReason>>,
    cut: Notify,
}

/// A connection's place in the list; it leaves the list when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    list: Rc<OpenConnections>,
    key: u64,
    open: Rc<Open>,
}

impl OpenConnections {
    /// Puts a connection on the list, if it is allowed now.
    pub(crate) fn admit(
        self: &Rc<Self>,
        in_force: &Arc<InForce>,
        judge: impl Fn(&Arc<InForce>) -> Result<(), DenyReason> + 'static,
    ) -> Result<Registered, DenyReason> {
        judge(in_force)?;
        let key = self.next.get();
        self.next.set(key + 1);
        let open = Rc::new(Open { judge: Box::new(judge), verdict: RefCell::new(None), cut: Notify::new() });
        self.open.borrow_mut().insert(key, Rc::clone(&open));
        Ok(Registered { list: Rc::clone(self), key, open })
    }

    /// Judges all again and cuts those that are denied. Returns how many.
    pub(crate) fn judge_again(&self, in_force: &Arc<InForce>) -> usize {
        let mut cut = 0;
        for open in self.open.borrow().values().filter(|open| open.verdict.borrow().is_none()) {
            if let Err(reason) = (open.judge)(in_force) {
                *open.verdict.borrow_mut() = Some(reason);
                open.cut.notify_one();
                cut += 1;
            }
        }
        cut
    }
}

impl Registered {
    /// Waits until the connection must end, and says why.
    pub(crate) async fn cut(&self) -> DenyReason {
        loop {
            if let Some(reason) = self.open.verdict.borrow().clone() {
                return reason;
            }
            self.open.cut.notified().await;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.list.open.borrow_mut().remove(&self.key);
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}
