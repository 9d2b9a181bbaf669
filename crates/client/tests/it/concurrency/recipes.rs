//! Barriers and queues.

use std::collections::BTreeSet;

use bytes::Bytes;
use etcdkit::concurrency::{Barrier, DoubleBarrier, PriorityQueue, Queue, Session};
use etcdkit::{Client, ErrorKind, Get, Put};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::Proxy;
use tokio::task::JoinSet;

use super::mutex::watched;
use super::{blocked, count, counted, in_line, session, spawn};
use crate::kv::members::*;

async fn five_waiters(name: &str, clients: &[Client]) {
    let barrier = Barrier::new(&clients[0], name);
    barrier.hold().await.unwrap();
    fails(barrier.hold().await, ErrorKind::Conflict);
    let mut waiters = JoinSet::new();
    for client in clients.iter().cycle().take(5) {
        let barrier = Barrier::new(client, name);
        waiters.spawn(async move { barrier.wait().await });
    }
    let mut first = Box::pin(waiters.join_next());
    blocked("a waiter", &mut first).await;
    drop(first);
    barrier.release().await.unwrap();
    for outcome in in_time("all waiters", waiters.join_all()).await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn barrier_single_node() {
    on_every_version(async |client, _| five_waiters("barrier_single_node", &[client]).await).await;
}

#[tokio::test]
async fn barrier_multi_node() {
    let cluster = Cluster::builder(Version::newest()).start().await;
    let clients =
        [connect(&cluster[0]).await, connect(&cluster[1]).await, connect(&cluster[2]).await];
    five_waiters("barrier_multi_node", &clients).await;
}

#[tokio::test]
async fn barrier_wait_nonexistent_key() {
    on_every_version(async |client, _| {
        let name = "barrier_wait_nonexistent";
        client.put(format!("{name}-and-more"), "").await.unwrap();
        in_time("no wait", Barrier::new(&client, name).wait()).await.unwrap();
    })
    .await;
}

/// Upstream's helper returns an event that isn't there when its watch breaks.
#[tokio::test]
async fn a_wait_goes_on_when_its_watch_breaks() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        let barrier = Barrier::new(&client, "barrier");
        barrier.hold().await.unwrap();
        let waiting = Barrier::new(&through, "barrier");
        let mut waiting = spawn(async move { waiting.wait().await });
        in_line("the waiter", &mut waiting, watched(&etcd, 1)).await;
        proxy.refuse().await;
        proxy.reset();
        barrier.release().await.unwrap();
        barrier.hold().await.unwrap();
        client.compact(etcdkit::Compact::new(revision(&client).await)).await.unwrap();
        proxy.listen_again().await;
        // It was open for a moment.
        in_time("the waiter", waiting).await.unwrap().unwrap();
    })
    .await;
}

async fn sessions(client: &Client, count: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(session(client).await);
    }
    sessions
}

#[tokio::test]
async fn double_barrier() {
    on_every_version(async |client, _| {
        let name = "double_barrier_of_ten";
        let waiters = format!("{name}/waiters/");
        let sessions = sessions(&client, 10).await;
        // Two rounds in the same room.
        for _ in 0..2 {
            let mut entering = JoinSet::new();
            for session in &sessions[1..] {
                let barrier = DoubleBarrier::new(session, name, 10);
                entering.spawn(async move { barrier.enter().await });
            }
            counted(&client, &waiters, 9).await;
            let mut early = Box::pin(entering.join_next());
            blocked("who enters", &mut early).await;
            drop(early);
            let last = DoubleBarrier::new(&sessions[0], name, 10);
            let last = in_time("the last", last.enter()).await.unwrap();
            let inside = in_time("the others", entering.join_all()).await;

            let mut leaving = JoinSet::new();
            for inside in inside {
                leaving.spawn(inside.unwrap().leave());
            }
            let mut early = Box::pin(leaving.join_next());
            blocked("who leaves", &mut early).await;
            drop(early);
            in_time("the last", last.leave()).await.unwrap();
            for outcome in in_time("the others", leaving.join_all()).await {
                outcome.unwrap();
            }
            assert_eq!(count(&client, name).await, 0, "a key was left");
        }
    })
    .await;
}

#[tokio::test]
async fn double_barrier_too_many_clients() {
    on_every_version(async |client, _| {
        let name = "double_barrier_too_many";
        let sessions = sessions(&client, 3).await;
        let barrier = |index: usize| DoubleBarrier::new(&sessions[index], name, 2);
        let (one, two) = (barrier(0), barrier(1));
        let (one, two) =
            in_time("both", async { tokio::join!(Box::pin(one.enter()), Box::pin(two.enter())) })
                .await;
        let refused = in_time("a refusal", barrier(2).enter()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ResourceExhausted);
        // The one too many left nothing, and holds up nobody.
        let (one, two) = (one.unwrap().leave(), two.unwrap().leave());
        let (one, two) = in_time("both", async { tokio::join!(one, two) }).await;
        one.and(two).unwrap();
        assert_eq!(count(&client, name).await, 0);
    })
    .await;
}

#[tokio::test]
async fn double_barrier_failover() {
    on_every_version(async |client, _| {
        let name = "double_barrier_failover";
        let sessions = sessions(&client, 4).await;
        let mut entering = JoinSet::new();
        for session in sessions.clone() {
            entering.spawn(async move { DoubleBarrier::new(&session, name, 4).enter().await });
        }
        let mut inside = in_time("all", entering.join_all()).await;
        // The one that all others would wait for dies.
        let keys = client.get(Get::first_create(format!("{name}/waiters/"))).await.unwrap();
        client.revoke(keys.first().unwrap().lease().unwrap()).await.unwrap();
        let mut leaving = JoinSet::new();
        for inside in inside.drain(..) {
            leaving.spawn(inside.unwrap().leave());
        }
        for outcome in in_time("the others", leaving.join_all()).await {
            outcome.unwrap();
        }
        assert_eq!(count(&client, name).await, 0);
    })
    .await;
}

/// Who gives up entering is no participant, and who is dropped inside holds up nobody.
#[tokio::test]
async fn a_participant_that_is_dropped_holds_up_nobody() {
    on_every_version(async |client, _| {
        let name = "double_barrier_dropped";
        let sessions = sessions(&client, 3).await;
        let barrier = |index: usize| DoubleBarrier::new(&sessions[index], name, 2);
        let given_up = barrier(0);
        let mut given_up = Box::pin(given_up.enter());
        blocked("one alone", &mut given_up).await;
        drop(given_up);
        counted(&client, name, 0).await;
        let (one, two) = (barrier(1), barrier(2));
        let (one, two) =
            in_time("both", async { tokio::join!(Box::pin(one.enter()), Box::pin(two.enter())) })
                .await;
        drop(one.unwrap());
        in_time("the other", two.unwrap().leave()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn queue_one_reader_one_writer() {
    on_every_version(async |client, _| {
        let queue = Queue::new(&client, "queue_fifo");
        assert_eq!(queue.try_dequeue().await.unwrap(), None);
        let waiting = queue.clone();
        let mut waiting = spawn(async move { waiting.dequeue().await });
        blocked("an empty queue", &mut waiting).await;
        for number in 0..10 {
            queue.enqueue(number.to_string()).await.unwrap();
        }
        assert_eq!(in_time("the first", waiting).await.unwrap().unwrap(), "0");
        for number in 1..10 {
            assert_eq!(in_time("an item", queue.dequeue()).await.unwrap(), number.to_string());
        }
        // What stands under a name that begins alike is another queue's, and what Go adds is ours.
        Queue::new(&client, "queue_fifo2").enqueue("not mine").await.unwrap();
        client.put("queue_fifo/no-item", "not mine either").await.unwrap();
        client.put("queue_fifo/1700000000000000000", "theirs").await.unwrap();
        assert_eq!(queue.try_dequeue().await.unwrap(), Some(Bytes::from("theirs")));
        assert_eq!(queue.try_dequeue().await.unwrap(), None);
    })
    .await;
}

/// Each item comes to exactly one reader.
async fn exactly_once(client: &Client, name: &str, readers: usize, writers: usize) {
    const EACH: usize = 12;
    let (queue, urgent) =
        (Queue::new(client, name), PriorityQueue::new(client, format!("{name}-p")));
    let mut writing = JoinSet::new();
    for writer in 0..writers {
        let (queue, urgent) = (queue.clone(), urgent.clone());
        writing.spawn(async move {
            for item in 0..EACH {
                queue.enqueue(format!("{writer}/{item}")).await.unwrap();
                let priority = u16::try_from(item % 3).unwrap();
                urgent.enqueue(format!("{writer}/{item}"), priority).await.unwrap();
            }
        });
    }
    let mut reading = JoinSet::new();
    for _ in 0..readers {
        let (queue, urgent) = (queue.clone(), urgent.clone());
        reading.spawn(async move {
            let mut taken = (Vec::new(), Vec::new());
            for _ in 0..writers * EACH / readers {
                taken.0.push(queue.dequeue().await.unwrap());
                taken.1.push(urgent.dequeue().await.unwrap());
            }
            taken
        });
    }
    in_time("the writers", writing.join_all()).await;
    let taken = in_time("the readers", reading.join_all()).await;
    let items: Vec<&Bytes> = taken.iter().flat_map(|taken| &taken.0).collect();
    let urgent: Vec<&Bytes> = taken.iter().flat_map(|taken| &taken.1).collect();
    for items in [items, urgent] {
        assert_eq!(items.len(), writers * EACH);
        assert_eq!(items.into_iter().collect::<BTreeSet<_>>().len(), writers * EACH);
    }
    assert_eq!(count(client, name).await, 0);
}

#[tokio::test]
async fn queue_many_reader_one_writer() {
    on_every_version(async |client, _| exactly_once(&client, "queue_many_one", 4, 1).await).await;
}

#[tokio::test]
async fn queue_one_reader_many_writer() {
    on_every_version(async |client, _| exactly_once(&client, "queue_one_many", 1, 4).await).await;
}

/// Also TestPrQueueManyReaderManyWriter.
#[tokio::test]
async fn queue_many_reader_many_writer() {
    on_every_version(async |client, _| exactly_once(&client, "queue_many_many", 4, 4).await).await;
}

#[tokio::test]
async fn pr_queue_one_reader_one_writer() {
    on_every_version(async |client, _| {
        let name = "pr_queue";
        let queue = PriorityQueue::new(&client, name);
        for (value, priority) in
            [("c1", 9), ("a1", 0), ("b", 5), ("c2", 9), ("d", u16::MAX), ("a2", 0)]
        {
            queue.enqueue(value, priority).await.unwrap();
        }
        // The keys are those of Go's recipe, and one of Go's is taken in its turn.
        let all = client.get(Get::prefix(format!("{name}/"))).await.unwrap();
        assert_eq!(all.first().unwrap().key_str(), Ok("pr_queue/00000/0000000000000000"));
        assert_eq!(count(&client, "__pr_queue/00009").await, 1);
        client.call(Put::new("pr_queue/00005/0000000000000007", "theirs")).await.unwrap();
        queue.enqueue("after theirs", 5).await.unwrap();
        for expected in ["a1", "a2", "b", "theirs", "after theirs", "c1", "c2", "d"] {
            assert_eq!(queue.try_dequeue().await.unwrap(), Some(Bytes::from(expected)));
        }
        assert_eq!(queue.try_dequeue().await.unwrap(), None);
    })
    .await;
}

/// A queue named like one of the priorities had the next item draw a number that was taken, and the item there was lost.
#[tokio::test]
async fn no_item_is_lost_to_a_queue_beside() {
    on_every_version(async |client, _| {
        let name = "pr_queue_beside";
        let queue = PriorityQueue::new(&client, name);
        for value in ["1", "2", "3"] {
            queue.enqueue(value, 7).await.unwrap();
        }
        let beside = PriorityQueue::new(&client, format!("{name}/00007"));
        beside.enqueue("beside", 3).await.unwrap();
        queue.enqueue("4", 7).await.unwrap();
        // Shorter than those of the recipe, and after them.
        client.put(format!("{name}/00007/5"), "short").await.unwrap();
        queue.enqueue("5", 7).await.unwrap();
        for expected in ["1", "2", "3", "4", "5", "short"] {
            assert_eq!(queue.try_dequeue().await.unwrap(), Some(Bytes::from(expected)));
        }
        assert_eq!(beside.try_dequeue().await.unwrap(), Some(Bytes::from("beside")));
    })
    .await;
}
