//! Members that lag behind, as a closure plays them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;
use crate::request::{Put, Txn};
use crate::response::{PutResponse, ResponseHeader, TxnResponse};
use crate::service::service_fn;

/// A cluster that answers with these revisions, one after the other; the last one again and again.
fn cluster(revisions: &[i64]) -> (Client<impl Service + Clone>, Arc<Mutex<u32>>) {
    let queue = Arc::new(Mutex::new(VecDeque::from(revisions.to_vec())));
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let service = service_fn(move |request| {
        *counted.lock().unwrap() += 1;
        let mut queue = queue.lock().unwrap();
        let next = if queue.len() > 1 { queue.pop_front() } else { queue.front().copied() };
        let at = ResponseHeader::at(next.unwrap());
        async move {
            if at.revision == Revision::NONE {
                return Err(Error::new(ErrorKind::ClusterChanged, "the history went back"));
            }
            Ok(match request {
                AnyRequest::Get(_) => AnyResponse::Get(GetResponse::new(at, [])),
                AnyRequest::Txn(_) => AnyResponse::Txn(TxnResponse::success(at, [])),
                AnyRequest::Put(_) => AnyResponse::Put(PutResponse::new(at)),
                other => panic!("unexpected {other:?}"),
            })
        }
    });
    (Client::from_service(service), calls)
}

fn get() -> Get {
    Get::new("a").serializable()
}

/// Upstream's `TestKvOrdering`.
#[tokio::test(start_paused = true)]
async fn kv_ordering() {
    // What is seen before, what the members answer then, and what is returned after how many calls.
    let table: [(&[i64], i64, u32); 4] =
        [(&[5, 6], 6, 1), (&[5, 5], 5, 1), (&[5, 4, 5], 5, 2), (&[7, 1, 2, 3, 4, 5, 6, 8], 8, 7)];
    for (answers, expected, calls) in table {
        let (client, counted) = cluster(answers);
        let client = client.ordered();
        client.get(get()).await.unwrap();
        let answer = client.get(get()).await.unwrap();
        assert_eq!((answer.revision().get(), *counted.lock().unwrap()), (expected, calls + 1));
        assert_eq!(client.service().seen().get(), expected);
    }
}

/// Upstream's `TestTxnOrdering`.
#[tokio::test(start_paused = true)]
async fn txn_ordering() {
    let (client, calls) = cluster(&[5, 3, 4, 6]);
    let client = client.ordered();
    client.get(get()).await.unwrap();
    let answer = client.txn(Txn::new().then([get()])).await.unwrap();
    assert_eq!((answer.revision().get(), *calls.lock().unwrap()), (6, 4));
    // One that writes is never made twice.
    let (client, calls) = cluster(&[5, 3, 4]);
    let client = client.ordered();
    client.get(get()).await.unwrap();
    client.txn(Txn::new().then([Put::new("a", "")])).await.unwrap();
    assert_eq!(*calls.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_seen() {
    let (client, calls) = cluster(&[9, 8, 9]);
    let client = client.ordered();
    client.put("a", "1").await.unwrap();
    assert_eq!(client.get(get()).await.unwrap().revision().get(), 9);
    assert_eq!(*calls.lock().unwrap(), 3);
}

/// Each read has all of its attempts, however many the ones before needed.
#[tokio::test(start_paused = true)]
async fn attempts_are_counted_anew_for_each_read() {
    let (client, calls) = cluster(&[5, 4, 4, 5, 4, 4, 5, 4, 4, 5, 4]);
    let client = client.layer(|inner| Ordering::new(inner).attempts(3));
    for _ in 0..4 {
        assert_eq!(client.get(get()).await.unwrap().revision().get(), 5);
    }
    let error = client.get(get()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("asked for 5 or later, the last answer was of 4"),
        "{error}"
    );
    assert_eq!(*calls.lock().unwrap(), 10 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_attempts() {
    let (client, calls) = cluster(&[5, 4]);
    let hurried = CallOptions::new().timeout(Duration::from_millis(12));
    let client = client.ordered().with_options(hurried);
    client.get(get()).await.unwrap();
    assert!(client.get(get()).await.is_err());
    // At once, and after 5 ms; the next would be after 10 ms more.
    assert_eq!(*calls.lock().unwrap(), 1 + 3);
}

/// After a backup was restored no read was new enough any more.
#[tokio::test(start_paused = true)]
async fn a_history_that_went_back_is_read_on() {
    // What the cluster says at each call; 0 is that the history went back.
    let (client, calls) = cluster(&[100, 0, 40, 39, 41]);
    let client = client.ordered();
    client.get(get()).await.unwrap();
    let error = client.put("a", "1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged);
    for expected in [40, 41] {
        assert_eq!(client.get(get()).await.unwrap().revision().get(), expected);
        assert_eq!(client.service().seen().get(), expected);
    }
    assert_eq!(*calls.lock().unwrap(), 5);
}

#[tokio::test]
async fn a_namespace_and_an_order_in_any_order() {
    let (client, _) = cluster(&[5]);
    client.clone().ordered().namespace("a/").get(get()).await.unwrap();
    client.namespace("a/").ordered().get(get()).await.unwrap();
}
