//! What is held for clients: parts of requests that are not whole yet, and answers that nobody has room for.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcdkit_proto::ServerError;
use tokio::sync::Notify;

use crate::status::Result;

/// Bytes that are held for one connection before new calls wait. At twice as many what would take more is refused, unless it
/// is one message alone.
const OWN: usize = 64 << 20;

/// Bytes that are held for all of them, or one message more, before they are refused.
const ALL: usize = 1 << 30;

/// The bytes that are held for all connections.
pub(crate) type Total = Arc<AtomicUsize>;

/// The bytes of one connection.
#[derive(Debug, Default)]
pub(super) struct Budget {
    own: AtomicUsize,
    total: Total,
    freed: Notify,
}

impl Budget {
    pub(super) fn new(total: &Total) -> Arc<Self> {
        Arc::new(Self { total: Arc::clone(total), ..Self::default() })
    }

    /// Waits until the client has taken enough of what it asked for before.
    pub(super) async fn room(&self) {
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.own.load(Ordering::Relaxed) < OWN {
                return;
            }
            freed.await;
        }
    }

    /// Holds nothing yet.
    pub(super) fn hold(self: &Arc<Self>) -> Hold {
        Hold { budget: Arc::clone(self), bytes: 0 }
    }
}

/// A part of a budget, which is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Hold {
    /// Holds so many bytes instead of those that it held.
    ///
    /// # Errors
    ///
    /// When there are too many already. What it held it still holds.
    pub(super) fn set(&mut self, bytes: usize) -> Result<()> {
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            let own = self.budget.own.load(Ordering::Relaxed);
            let others = own > self.bytes;
            if others && own + more > 2 * OWN || self.budget.total.load(Ordering::Relaxed) >= ALL {
                return Err(ServerError::TooManyRequests.into());
            }
            self.budget.own.fetch_add(more, Ordering::Relaxed);
            self.budget.total.fetch_add(more, Ordering::Relaxed);
        } else {
            self.free(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    fn free(&self, bytes: usize) {
        if bytes > 0 {
            self.budget.own.fetch_sub(bytes, Ordering::Relaxed);
            self.budget.total.fetch_sub(bytes, Ordering::Relaxed);
            self.budget.freed.notify_waiters();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.free(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn calls_wait_while_much_is_held_and_are_refused_at_twice_as_much() {
        let total = Total::default();
        let budget = Budget::new(&total);
        let mut first = budget.hold();
        // One message may be of any size.
        first.set(3 * OWN).unwrap();
        let mut second = budget.hold();
        assert!(second.set(1).is_err());
        let mut waiting = Box::pin(budget.room());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        first.set(OWN - 1).unwrap();
        waiting.await;
        second.set(OWN).unwrap();
        assert_eq!(total.load(Ordering::Relaxed), 2 * OWN - 1);
        drop((first, second));
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_connections_together_hold_no_more_than_there_is() {
        let total = Total::default();
        let budgets: Vec<_> = (0..20).map(|_| Budget::new(&total)).collect();
        let mut holds: Vec<_> = budgets.iter().map(Budget::hold).collect();
        let held = holds.iter_mut().filter_map(|hold| hold.set(OWN).ok()).count();
        assert_eq!(held, ALL / OWN);
        holds.clear();
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
