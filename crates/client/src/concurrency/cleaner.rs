//! The task of a session, which deletes what was left behind.
//!
//! Whoever is dropped can't wait: a guard, or the future of a call that was to take a lock. Their keys would block others
//! until the lease ends. The task deletes them, each after the call that may be making it; and when the session is
//! dropped, it revokes the lease, and ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::places::{Had, Left, Places};
use super::served;
use crate::client::Client;
use crate::clock;
use crate::error::ErrorKind;
use crate::request::{Compare, Delete, LeaseRevoke, Txn};
use crate::revision::LeaseId;
use crate::service::Service;
use crate::task::{Either, Task, race, spawn};

/// Between the first two attempts to delete a key; doubled with each further one.
const PAUSE: Duration = Duration::from_millis(100);
/// For so long a key that was left may block others after members answer again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) fn start<S: Service + Clone>(
    client: Client<S>,
    lease: LeaseId,
    ttl: Duration,
    places: Arc<Places>,
) -> Task {
    spawn(run(client, lease, ttl, places))
}

async fn run<S: Service + Clone>(
    client: Client<S>,
    lease: LeaseId,
    ttl: Duration,
    places: Arc<Places>,
) {
    let mut deletions = FuturesUnordered::new();
    let end = loop {
        let (left, end) = places.take();
        deletions.extend(left.into_iter().map(|left| delete(&client, left)));
        if let Some(end) = end {
            break end;
        }
        // A set of deletions that is empty is ready at once, and says nothing.
        if deletions.is_empty() {
            places.work().await;
        } else if let Either::Second(Some(key)) = race(places.work(), deletions.next()).await {
            places.free(&key);
        }
    };
    // From here on nobody can add anything, and the clock ends it.
    let deadline = clock::now().checked_add(ttl);
    if end.revoke {
        // Takes all keys with it, and lets no call make another.
        let options = client.options().clone().timeout(ttl);
        let _ = client.with_options(options).call(LeaseRevoke::new(lease)).await;
    } else {
        clock::until(deadline, async { while deletions.next().await.is_some() {} }).await;
    }
}

/// Deletes a key, however long that takes; after the time to live of the lease it has gone by itself, or the lease lives
/// on and there is time to go on. One that another session made since is that one's.
async fn delete<S: Service>(client: &Client<S>, left: Left) -> Bytes {
    let mut had = left.had;
    if let Some(pending) = left.pending {
        had = had.after(&left.key, &pending.await);
    }
    let condition = match had {
        Had::Nothing => return left.key,
        Had::MadeAt(revision) => Some(Compare::create_revision(&left.key).eq(revision)),
        Had::Any => None,
    };
    let delete = Txn::new().when(condition).then([Delete::new(&left.key)]);
    if left.served {
        served::settle(client, &left.key).await;
    }
    let mut pause = PAUSE;
    while let Err(error) = client.call(delete.clone()).await {
        if !error.is_retryable() && error.kind() != ErrorKind::ResourceExhausted {
            break;
        }
        clock::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    left.key
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::places;
    use super::*;
    use crate::error::Error;
    use crate::request::{Op, OpResponse};
    use crate::response::{GetResponse, HeaderResponse, KeyValue, ResponseHeader, TxnResponse};
    use crate::revision::Revision;
    use crate::service::{Service, service_fn};
    use crate::{AnyRequest, AnyResponse};

    const TTL: Duration = Duration::from_secs(10);

    type Log = Arc<Mutex<Vec<String>>>;

    /// A cluster of which the first `failures` deletions fail.
    fn cluster(failures: usize) -> (Client<impl Service + Clone>, Log) {
        let log = Log::default();
        let written = Arc::clone(&log);
        let client = Client::from_service(service_fn(move |request| {
            let mut log = written.lock().unwrap();
            let answer = match request {
                AnyRequest::Txn(txn) => {
                    let [Op::Delete(delete)] = &txn.success().collect::<Vec<_>>()[..] else {
                        panic!("unexpected {txn:?}")
                    };
                    let key = delete.key_range().start().to_vec();
                    let made_at = |revision: &i64| {
                        txn.compares().eq([Compare::create_revision(&*key).eq(*revision)])
                    };
                    let key = String::from_utf8_lossy(&key);
                    log.push(match (0..10).find(made_at) {
                        Some(revision) => format!("delete {key} of {revision}"),
                        None => format!("delete {key}"),
                    });
                    if log.len() <= failures {
                        Err(Error::new(ErrorKind::Unavailable, "no member"))
                    } else {
                        Ok(AnyResponse::Txn(TxnResponse::default()))
                    }
                }
                AnyRequest::LeaseRevoke(_) => {
                    log.push("revoke".into());
                    Ok(AnyResponse::LeaseRevoke(HeaderResponse::default()))
                }
                other => panic!("unexpected {other:?}"),
            };
            async move { answer }
        }));
        (client, log)
    }

    async fn settle(log: &Log, expected: &[&str]) {
        for _ in 0..1000 {
            if *log.lock().unwrap() == expected {
                return;
            }
            clock::sleep(Duration::from_millis(1)).await;
        }
        panic!("{:?}, and not {expected:?}", log.lock().unwrap());
    }

    fn lease() -> LeaseId {
        LeaseId::new(7).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_deleted_until_it_is_gone() {
        let (client, log) = cluster(2);
        let places = Arc::new(Places::default());
        let _task = start(client, lease(), TTL, Arc::clone(&places));
        places::left(&places, "a", Had::MadeAt(Revision::new(5)), None);
        settle(&log, &["delete a of 5"; 3]).await;
    }

    /// A key that was left blocked others for up to the time to live of its lease after members answered again.
    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_left_goes_soon_after_members_answer_again() {
        let (client, log) = cluster(usize::MAX);
        let places = Arc::new(Places::default());
        let _task = start(client, lease(), Duration::from_secs(3600), Arc::clone(&places));
        places::left(&places, "a", Had::Any, None);
        clock::sleep(Duration::from_secs(600)).await;
        let before = log.lock().unwrap().len();
        clock::sleep(5 * LONGEST_PAUSE).await;
        let attempts = log.lock().unwrap().len() - before;
        assert!((4..=6).contains(&attempts), "{attempts}");
    }

    /// A call that was given up may still make the key, so the key is deleted after it and not before; and only that one, since
    /// another session with the same lease may have made it anew.
    #[tokio::test(start_paused = true)]
    async fn a_key_is_deleted_after_the_call_that_may_make_it() {
        let header = ResponseHeader::at(9);
        let read = |made| {
            GetResponse::default().with_keys([KeyValue::new("a", "").with_revisions(made, made)])
        };
        let unknown =
            Error::new(ErrorKind::Unavailable, "the stream broke").with_maybe_applied(true);
        let refused = Error::new(ErrorKind::PermissionDenied, "no");
        for (outcome, deletion) in [
            (Ok(TxnResponse::success(header, [])), Some("delete a of 9")),
            (Ok(TxnResponse::failure(header, [OpResponse::Get(read(7))])), Some("delete a of 7")),
            (Err(unknown), Some("delete a")),
            (Err(refused), None),
        ] {
            let (client, log) = cluster(0);
            let places = Arc::new(Places::default());
            let _task = start(client, lease(), TTL, Arc::clone(&places));
            let made = Arc::clone(&log);
            let pending = Box::pin(async move {
                clock::sleep(Duration::from_secs(2)).await;
                made.lock().unwrap().push("made a".into());
                outcome
            });
            places::left(&places, "a", Had::Nothing, Some(pending));
            places::left(&places, "b", Had::Any, None);
            clock::sleep(Duration::from_secs(3)).await;
            let expected = ["delete b", "made a"].into_iter().chain(deletion);
            settle(&log, &expected.collect::<Vec<_>>()).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_dropped_ends_its_lease_and_no_foreign_one() {
        for (revoke, expected) in [(true, "revoke"), (false, "delete a")] {
            let (client, log) = cluster(0);
            let places = Arc::new(Places::default());
            let task = start(client, lease(), TTL, Arc::clone(&places));
            places::left(&places, "a", Had::Any, None);
            places.end(revoke);
            task.leave();
            settle(&log, &[expected]).await;
        }
    }
}
