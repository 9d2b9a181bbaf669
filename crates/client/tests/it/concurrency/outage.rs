//! Members that do not answer for a while: who waits goes on waiting, and who can't go on is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::concurrency::{Barrier, Election, Loss, Mutex, Queue};
use etcdkit::service::{Service, Streaming};
use etcdkit::{CallOptions, Channel, Client, ErrorKind, Request, Result, StreamRequest};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;

use super::{blocked, counted, in_line, session, spawn};
use crate::kv::members::*;

/// Leaves calls without an answer, as many as it is told to.
#[derive(Clone)]
pub(crate) struct Silent {
    inner: Channel,
    /// Where nobody listens.
    nobody: Channel,
    calls: Arc<Calls>,
}

#[derive(Default)]
pub(crate) struct Calls {
    /// So many are answered first.
    answered: AtomicUsize,
    unanswered: AtomicUsize,
    /// Streams that were opened.
    opened: AtomicUsize,
}

impl Calls {
    pub(crate) fn answer_and_fail(&self, answered: usize, unanswered: usize) {
        self.answered.store(answered, Ordering::SeqCst);
        self.unanswered.store(unanswered, Ordering::SeqCst);
    }

    fn fails(&self) -> bool {
        let one_less = |count: &AtomicUsize| {
            count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        };
        one_less(&self.answered).is_err() && one_less(&self.unanswered).is_ok()
    }

    /// Waits until so many calls are left that are to fail.
    pub(crate) async fn left(&self, expected: usize) {
        eventually("the calls to fail", DEADLINE, async || {
            (self.unanswered.load(Ordering::SeqCst) <= expected).then_some(())
        })
        .await;
    }

    /// Waits until a stream was opened.
    async fn open(&self) {
        eventually("a stream", DEADLINE, async || {
            (self.opened.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
    }
}

impl Service for Silent {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        if self.calls.fails() {
            let soon = options.clone().timeout(Duration::from_millis(10));
            return self.nobody.call(request, &soon).await;
        }
        self.inner.call(request, options).await
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        let opened = self.inner.open(request, options).await;
        self.calls.opened.fetch_add(1, Ordering::SeqCst);
        opened
    }
}

pub(crate) fn silent(client: &Client) -> (Client<Silent>, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let told = Arc::clone(&calls);
    let nobody = Client::builder().endpoints(["127.0.0.1:1"]).build().unwrap().service().clone();
    (client.clone().layer(|inner| Silent { inner, nobody, calls }), told)
}

/// A waiter gave up, and with it its place in line, when no member answered within the time of one call.
#[tokio::test]
async fn a_wait_for_a_lock_survives_members_that_do_not_answer() {
    on_every_version(async |client, _| {
        let name = "outage_lock";
        let (through, calls) = silent(&client);
        let mine = through.session(Duration::from_secs(60)).await.unwrap();
        let other = session(&client).await;
        let held = Mutex::new(&other, name).lock().await.unwrap();
        // It lines up, and then looks who is before it.
        calls.answer_and_fail(1, 3);
        let waiting = spawn(async move { Mutex::new(&mine, name).lock().await });
        calls.left(0).await;
        counted(&client, name, 2).await;
        held.unlock().await.unwrap();
        in_time("the lock", waiting).await.unwrap().unwrap().unlock().await.unwrap();
    })
    .await;
}

/// A server that waited in line was lost, and no member answered who wanted to line up anew: the wait was given up.
#[tokio::test]
async fn a_wait_of_a_lost_server_survives_members_that_do_not_answer() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (through, calls) = silent(&crate::kv::lost::eager(&proxy).await);
        let (one, two) = (session(&client).await, session(&client).await);
        let mine = through.session(Duration::from_secs(60)).await.unwrap();
        let lock = Mutex::new(&one, "outage_served").lock().await.unwrap();
        let lead = Election::new(&two, "outage_served_e").campaign("").await.unwrap();
        let session = mine.clone();
        let locks = spawn(async move { Mutex::on_server(&session, "outage_served").lock().await });
        let leads = spawn(async move {
            Election::on_server(&mine, "outage_served_e").campaign("").await
        });
        for (service, method) in [("v3lockpb.Lock", "Lock"), ("v3electionpb.Election", "Campaign")] {
            let started = format!(
                "grpc_server_started_total{{grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"unary\"}}"
            );
            eventually("the server to wait", DEADLINE, async || {
                etcd.metric(&started).await.filter(|started| *started >= 1.0)
            })
            .await;
        }
        calls.answer_and_fail(0, 12);
        proxy.reset();
        calls.left(0).await;
        lock.unlock().await.unwrap();
        lead.resign().await.unwrap();
        let lock = in_time("the lock", locks).await.unwrap().unwrap();
        let lead = in_time("the lead", leads).await.unwrap().unwrap();
        assert!(lock.is_held().await.unwrap() && lead.guard().is_held().await.unwrap());
    })
    .await;
}

/// The same of a barrier: the gate is looked at again after its watch.
#[tokio::test]
async fn a_wait_for_a_barrier_survives_members_that_do_not_answer() {
    on_every_version(async |client, _| {
        let (through, calls) = silent(&client);
        let barrier = Barrier::new(&client, "outage_barrier");
        barrier.hold().await.unwrap();
        calls.answer_and_fail(1, 3);
        let waiting = Barrier::new(&through, "outage_barrier");
        let mut waiting = spawn(async move { waiting.wait().await });
        // It has looked, and watches.
        in_line("the waiter", &mut waiting, calls.open()).await;
        barrier.release().await.unwrap();
        in_time("the waiter", waiting).await.unwrap().unwrap();
        calls.left(0).await;
    })
    .await;
}

/// One read without an answer, and a holder was never told of anything but the end of its session.
#[tokio::test]
async fn a_holder_learns_of_its_deleted_key_after_members_did_not_answer() {
    on_every_version(async |client, _| {
        let (through, calls) = silent(&client);
        let session = through.session(Duration::from_secs(60)).await.unwrap();
        let guard = Mutex::new(&session, "outage_lost").lock().await.unwrap();
        let key = guard.key().clone();
        calls.answer_and_fail(0, 2);
        let lost = spawn(async move { guard.lost().await });
        calls.left(0).await;
        client.delete(key).await.unwrap();
        assert_eq!(in_time("the loss", lost).await.unwrap(), Loss::Deleted);
    })
    .await;
}

/// The key of the former holder can't be deleted, and the session is over: there is nothing to wait for.
#[tokio::test]
async fn a_lock_of_a_session_that_has_ended_is_refused_whatever_else_is_under_way() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let session = session(&crate::kv::lost::eager(&proxy).await).await;
        let mutex = Mutex::new(&session, "outage_ended");
        let guard = mutex.lock().await.unwrap();
        proxy.refuse().await;
        proxy.reset();
        drop(guard);
        let mut waiting = Box::pin(mutex.lock());
        blocked("who waits for the former key", &mut waiting).await;
        session.orphan();
        let refused = in_time("an end", waiting).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(mutex.try_lock().await.unwrap_err().kind(), ErrorKind::Cancelled);
        counted(&client, "outage_ended", 1).await;
    })
    .await;
}

/// Whoever waits is told when there is nobody left who could answer.
#[tokio::test]
async fn a_client_that_is_closed_ends_all_waits() {
    on_every_version(async |client, etcd| {
        let name = "outage_closed";
        let other = session(&client).await;
        let lock = Mutex::new(&other, name).lock().await.unwrap();
        let gate = Barrier::new(&client, "outage_closed_gate");
        gate.hold().await.unwrap();
        let closing = connect(etcd).await;
        let mine = session(&closing).await;
        let waiting = spawn(async move { Mutex::new(&mine, name).lock().await.map(drop) });
        let gate = Barrier::new(&closing, "outage_closed_gate");
        let mut at_gate = spawn(async move { gate.wait().await });
        let queue = Queue::new(&closing, "outage_closed_queue");
        let at_queue = spawn(async move { queue.dequeue().await.map(drop) });
        counted(&client, &format!("{name}/"), 2).await;
        blocked("the gate", &mut at_gate).await;
        closing.close().await;
        for waiting in [waiting, at_gate, at_queue] {
            fails(in_time("an end", waiting).await.unwrap(), ErrorKind::Closed);
        }
        lock.unlock().await.unwrap();
    })
    .await;
}
