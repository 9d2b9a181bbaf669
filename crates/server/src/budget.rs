//! What is held for clients: requests that come in parts, as long as they are served, and answers until they are written.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use etcdkit_proto::ServerError;
use futures_util::future::select;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::status::Result;

/// Bytes that are held for one connection before new calls wait; of answers, before others are made. At twice as many what
/// would take more is refused, unless it is one message alone.
const OWN: usize = 64 << 20;

/// Bytes of answers before streams go on: those that nobody reads leave room for calls.
const STREAMS: usize = OWN / 2;

/// Bytes that are held for all of them, or one message more, before they are refused.
const ALL: usize = 1 << 30;

/// Bytes of one connection before it waits when that many are held for all.
const LITTLE: usize = 1 << 20;

/// The bytes that are held for all connections.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub(crate) bytes: AtomicUsize,
    /// It was full, and is not any more.
    freed: Notify,
}

impl Total {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= ALL
    }

    fn free(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= ALL && before - bytes < ALL {
            self.freed.notify_waiters();
        }
    }
}

/// The bytes of one connection.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: AtomicUsize,
    answers: AtomicUsize,
    total: Arc<Total>,
    freed: Notify,
    turn: Semaphore,
}

impl Budget {
    pub(crate) fn new(total: &Arc<Total>) -> Arc<Self> {
        let (requests, answers, freed) = Default::default();
        let turn = Semaphore::new(1);
        Arc::new(Self { requests, answers, total: Arc::clone(total), freed, turn })
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    fn own(&self) -> usize {
        self.requests.load(Ordering::Relaxed) + self.answers()
    }

    /// Waits until little enough is held for another call to be read.
    pub(crate) async fn room_for_calls(&self) {
        self.below(OWN, Self::own).await;
    }

    /// Waits until the client has taken enough of what it asked for before. Requests don't count: those of the calls that wait
    /// here would keep all of them waiting.
    pub(crate) async fn room_for_answers(&self) {
        self.below(OWN, Self::answers).await;
    }

    /// Waits until the client has taken enough for a stream to go on.
    pub(crate) async fn room_for_streams(&self) {
        self.below(STREAMS, Self::answers).await;
    }

    async fn below(&self, limit: usize, held: impl Fn(&Self) -> usize) {
        loop {
            // What is freed after it was looked at ends these.
            let (own, all) = (pin!(self.freed.notified()), pin!(self.total.freed.notified()));
            let held = held(self);
            if held < LITTLE || held < limit && !self.total.is_full() {
                return;
            }
            select(own, all).await;
        }
    }

    /// Waits until it is one's turn to make a long answer, and there is room. A connection makes one at a time: its task would
    /// not make several any faster, and what is there of each would be held.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        // It is never closed.
        let permit = self.turn.acquire().await.ok();
        self.room_for_answers().await;
        Turn { _permit: permit }
    }

    /// For what a client sends. Holds nothing yet.
    pub(crate) fn request(self: &Arc<Self>) -> Hold {
        Hold { budget: Arc::clone(self), of: |budget| &budget.requests, bytes: 0 }
    }

    /// For what a client gets. Holds nothing yet.
    pub(crate) fn answer(self: &Arc<Self>) -> Hold {
        Hold { budget: Arc::clone(self), of: |budget| &budget.answers, bytes: 0 }
    }
}

/// The turn to make a long answer, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

/// A part of a budget, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    budget: Arc<Budget>,
    of: fn(&Budget) -> &AtomicUsize,
    bytes: usize,
}

impl Hold {
    /// Holds so many bytes instead of those that it held.
    ///
    /// # Errors
    ///
    /// When there are too many already. What it held it still holds.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.bytes {
            let own = self.budget.own();
            if own > self.bytes && own + (bytes - self.bytes) > 2 * OWN {
                return Err(ServerError::TooManyRequests.into());
            }
        }
        self.grow(bytes)
    }

    /// As [`set`](Self::set), for what waited until there was room: it may be of any size.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.bytes && self.budget.total.is_full() {
            return Err(ServerError::TooManyRequests.into());
        }
        self.keep(bytes);
        Ok(())
    }

    /// As [`set`](Self::set), for what cannot be refused any more.
    pub(crate) fn keep(&mut self, bytes: usize) {
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            (self.of)(&self.budget).fetch_add(more, Ordering::Relaxed);
            self.budget.total.bytes.fetch_add(more, Ordering::Relaxed);
        } else {
            self.free(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Whether the connection may be given anything large at all.
    ///
    /// # Errors
    ///
    /// When too much is held for it already.
    pub(crate) fn may_grow(&self) -> Result<()> {
        if self.budget.own() > 2 * OWN {
            return Err(ServerError::TooManyRequests.into());
        }
        Ok(())
    }

    /// Where it is held.
    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// The bytes of an answer, for as long as a part of them is anywhere.
    pub(crate) fn bytes(mut self, bytes: Vec<u8>) -> Bytes {
        self.keep(bytes.len());
        Bytes::from_owner(Held { bytes, _hold: self })
    }

    fn free(&self, bytes: usize) {
        if bytes > 0 {
            (self.of)(&self.budget).fetch_sub(bytes, Ordering::Relaxed);
            self.budget.freed.notify_waiters();
            self.budget.total.free(bytes);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.free(self.bytes);
    }
}

/// An answer.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    _hold: Hold,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use futures_util::future::poll_immediate;

    use super::*;

    #[tokio::test]
    async fn calls_wait_while_much_is_held_and_are_refused_at_twice_as_much() {
        let total = Arc::<Total>::default();
        let budget = Budget::new(&total);
        let mut first = budget.answer();
        // One message may be of any size.
        first.set(3 * OWN).unwrap();
        let mut second = budget.answer();
        assert!(second.set(1).is_err());
        let mut waiting = Box::pin(budget.room_for_calls());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        first.set(OWN - 1).unwrap();
        waiting.await;
        second.set(OWN).unwrap();
        assert_eq!(total.bytes.load(Ordering::Relaxed), 2 * OWN - 1);
        drop((first, second));
        assert_eq!(total.bytes.load(Ordering::Relaxed), 0);
    }

    fn is_ready(future: impl Future) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn streams_that_nobody_reads_leave_room_for_calls() {
        let budget = Budget::new(&Arc::default());
        let mut hold = budget.answer();
        hold.keep(STREAMS - 1);
        assert!(is_ready(budget.room_for_streams()));
        hold.keep(STREAMS);
        assert!(!is_ready(budget.room_for_streams()) && is_ready(budget.room_for_calls()));
    }

    #[test]
    fn connections_with_little_go_on_when_others_have_taken_everything() {
        let total = Arc::<Total>::default();
        let (greedy, modest) = (Budget::new(&total), Budget::new(&total));
        let (mut all, mut some) = (greedy.answer(), modest.answer());
        all.grow(ALL).unwrap();
        some.keep(LITTLE - 1);
        assert!(is_ready(modest.room_for_calls()) && is_ready(modest.room_for_streams()));
        some.keep(LITTLE);
        assert!(!is_ready(modest.room_for_calls()) && !is_ready(modest.room_for_streams()));
        assert!(some.grow(LITTLE + 1).is_err());
    }

    #[test]
    fn calls_that_wait_for_room_do_not_wait_for_their_own_requests() {
        let budget = Budget::new(&Arc::default());
        let mut request = budget.request();
        request.keep(OWN);
        assert!(!is_ready(budget.room_for_calls()));
        assert!(is_ready(budget.turn()) && is_ready(budget.room_for_streams()));
    }

    #[tokio::test]
    async fn who_waits_because_others_have_taken_everything_goes_on_when_they_give_it_back() {
        let total = Arc::default();
        let (greedy, modest) = (Budget::new(&total), Budget::new(&total));
        let (mut all, mut some) = (greedy.answer(), modest.answer());
        all.grow(ALL).unwrap();
        some.keep(LITTLE);
        let mut waiting = Box::pin(modest.room_for_calls());
        assert_eq!(poll_immediate(&mut waiting).await, None);
        drop(all);
        assert_eq!(poll_immediate(&mut waiting).await, Some(()), "nobody told");
    }

    #[tokio::test]
    async fn long_answers_are_made_one_after_the_other() {
        let budget = Budget::new(&Arc::default());
        let first = budget.turn().await;
        let mut second = Box::pin(budget.turn());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut made = budget.answer();
        made.grow(3 * OWN).unwrap();
        drop(first);
        // There is no room for it yet.
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(made);
        second.await;
    }

    #[test]
    fn an_answer_is_held_until_its_last_part_is_gone() {
        let total = Arc::<Total>::default();
        let mut bytes = Budget::new(&total).answer().bytes(vec![7; 1000]);
        let part = bytes.split_to(10);
        drop(bytes);
        assert_eq!(total.bytes.load(Ordering::Relaxed), 1000);
        drop(part);
        assert_eq!(total.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_connections_together_hold_no_more_than_there_is() {
        let total = Arc::<Total>::default();
        let budgets: Vec<_> = (0..20).map(|_| Budget::new(&total)).collect();
        let mut holds: Vec<_> = budgets.iter().map(Budget::answer).collect();
        let held = holds.iter_mut().filter_map(|hold| hold.set(OWN).ok()).count();
        assert_eq!(held, ALL / OWN);
        holds.clear();
        assert_eq!(total.bytes.load(Ordering::Relaxed), 0);
    }
}
