//! Futures that are dropped, at each of their pauses: no key is left, and nothing hangs afterwards.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use etcdkit::concurrency::{
    Barrier, DoubleBarrier, Election, Mutex, PriorityQueue, Queue, RwMutex, Session,
};
use etcdkit::{Client, Result};
use etcdkit_testkit::wait::eventually;

use super::{counted, session};
use crate::kv::members::*;

/// Longer than any of these calls pauses before it only waits for others.
const PAUSES: usize = 8;

/// What `future` comes to; `None` if it pauses that often before, and is dropped then.
async fn dropped_at<F: Future>(pauses: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = pauses;
    poll_fn(|cx| match (future.as_mut().poll(cx), left) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// What takes its place under a name, and gives it up again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Lock,
    TryLock,
    Read,
    Write,
    Campaign,
    Enter,
}

impl Call {
    const ALL: [Self; 6] =
        [Self::Lock, Self::TryLock, Self::Read, Self::Write, Self::Campaign, Self::Enter];

    async fn make(self, session: &Session, name: &str) -> Result<()> {
        match self {
            Self::Lock => Mutex::new(session, name).lock().await.map(drop),
            Self::TryLock => Mutex::new(session, name).try_lock().await.map(drop),
            Self::Read => RwMutex::new(session, name).read().await.map(drop),
            Self::Write => RwMutex::new(session, name).write().await.map(drop),
            Self::Campaign => Election::new(session, name).campaign("").await.map(drop),
            Self::Enter => Box::pin(DoubleBarrier::new(session, name, 2).enter()).await.map(drop),
        }
    }

    /// Has somebody be there before: who waits for whom.
    async fn contended(self, other: &Session, name: &str) -> Option<Box<dyn Send>> {
        let held: Box<dyn Send> = match self {
            Self::Lock | Self::TryLock => Box::new(Mutex::new(other, name).lock().await.unwrap()),
            Self::Read | Self::Write => Box::new(RwMutex::new(other, name).write().await.unwrap()),
            Self::Campaign => Box::new(Election::new(other, name).campaign("").await.unwrap()),
            // One alone waits by itself.
            Self::Enter => return None,
        };
        Some(held)
    }
}

async fn at_every_pause(client: &Client, call: Call, contended: bool) {
    let name = &format!("dropped_{call:?}_{contended}");
    let (mine, other) = (session(client).await, session(client).await);
    let held = if contended { call.contended(&other, name).await } else { None };
    let others = u64::from(held.is_some());
    for pauses in 0..PAUSES {
        // At the latest when it only waits for others, and does not pause any more.
        let dropped = dropped_at(pauses, call.make(&mine, name));
        if let Ok(Some(outcome)) = tokio::time::timeout(Duration::from_millis(200), dropped).await {
            outcome.unwrap();
        }
        counted(client, name, others).await;
    }
    drop(held);
    counted(client, name, 0).await;
    if call != Call::Enter {
        in_time("its turn", call.make(&mine, name)).await.unwrap();
        counted(client, name, 0).await;
    }
    assert!(mine.state().is_alive());
}

#[tokio::test]
async fn what_is_dropped_at_any_pause_leaves_no_key() {
    on_every_version(async |client, _| {
        for call in Call::ALL {
            for contended in [false, true] {
                Box::pin(at_every_pause(&client, call, contended)).await;
            }
        }
    })
    .await;
}

/// Unlocking, resigning and leaving that nobody waits for are done all the same.
#[tokio::test]
async fn a_release_that_is_dropped_at_any_pause_is_a_release() {
    on_every_version(async |client, _| {
        let name = "dropped_release";
        let session = session(&client).await;
        for pauses in 0..PAUSES {
            let guard = in_time("the lock", Mutex::new(&session, name).lock()).await.unwrap();
            drop(dropped_at(pauses, guard.unlock()).await);
            counted(&client, name, 0).await;
            let leads = in_time("the lead", Election::new(&session, name).campaign("")).await;
            drop(dropped_at(pauses, leads.unwrap().resign()).await);
            counted(&client, name, 0).await;
            let barrier = DoubleBarrier::new(&session, name, 1);
            let inside = in_time("the room", Box::pin(barrier.enter())).await.unwrap();
            drop(dropped_at(pauses, inside.leave()).await);
            counted(&client, &format!("{name}/waiters/"), 0).await;
            client.delete(format!("{name}/ready")).await.unwrap();
        }
    })
    .await;
}

/// The lease of a session whose closing was given up lived on until its time was over.
#[tokio::test]
async fn a_session_whose_closing_is_dropped_ends_with_its_last_holder() {
    on_every_version(async |client, _| {
        for pauses in 0..PAUSES {
            let session = client.session(Duration::from_secs(3600)).await.unwrap();
            let lease = session.lease();
            drop(dropped_at(pauses, session.close()).await);
            drop(session);
            eventually("the lease to end", DEADLINE, async || {
                client.time_to_live(lease).await.unwrap().remaining().is_none().then_some(())
            })
            .await;
        }
    })
    .await;
}

/// Upstream's queues and barriers can't be given up at all. A wait of ours takes nothing with it.
#[tokio::test]
async fn a_wait_at_an_empty_queue_or_a_barrier_that_is_dropped_takes_nothing() {
    on_every_version(async |client, _| {
        let queue = Queue::new(&client, "dropped_queue");
        let urgent = PriorityQueue::new(&client, "dropped_urgent");
        let barrier = Barrier::new(&client, "dropped_barrier");
        barrier.hold().await.unwrap();
        for pauses in 0..PAUSES {
            let waits = async || {
                tokio::select! {
                    item = queue.dequeue() => panic!("from an empty queue: {item:?}"),
                    item = urgent.dequeue() => panic!("from an empty queue: {item:?}"),
                    open = barrier.wait() => panic!("through a closed barrier: {open:?}"),
                }
            };
            let waiting = dropped_at(pauses, waits());
            let _ = tokio::time::timeout(Duration::from_millis(200), waiting).await;
        }
        queue.enqueue("1").await.unwrap();
        urgent.enqueue("2", 7).await.unwrap();
        assert_eq!(in_time("the item", queue.dequeue()).await.unwrap(), "1");
        assert_eq!(in_time("the item", urgent.dequeue()).await.unwrap(), "2");
        barrier.release().await.unwrap();
        in_time("the barrier", barrier.wait()).await.unwrap();
    })
    .await;
}
