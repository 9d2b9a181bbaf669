//! The calls that are made of several, over services made of closures.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::request::{AnyRequest, AnyResponse};
use crate::response::{KeyValue, ResponseHeader};
use crate::service::{CallOptions, service_fn};

#[tokio::test]
async fn each_method_makes_its_request() {
    let client = Client::from_service(service_fn(|request| async move {
        let expected = |same: bool, request: &AnyRequest| assert!(same, "{request:?}");
        Ok(match request {
            AnyRequest::Get(ref get) => {
                expected(*get == Get::new("a"), &request);
                AnyResponse::Get(GetResponse::default())
            }
            AnyRequest::Put(ref put) => {
                expected(*put == Put::new("a", "1"), &request);
                AnyResponse::Put(PutResponse::default())
            }
            AnyRequest::Delete(ref delete) => {
                expected(*delete == Delete::prefix("a"), &request);
                AnyResponse::Delete(DeleteResponse::default())
            }
            AnyRequest::Txn(ref txn) => {
                expected(*txn == Txn::new().then([Get::new("a")]), &request);
                AnyResponse::Txn(TxnResponse::default())
            }
            AnyRequest::Compact(ref compact) => {
                expected(*compact == Compact::new(5), &request);
                AnyResponse::Compact(HeaderResponse::default())
            }
            other => panic!("unexpected {other:?}"),
        })
    }));
    client.get("a").await.unwrap();
    client.put("a", "1").await.unwrap();
    client.delete(Delete::prefix("a")).await.unwrap();
    client.txn(Txn::new().then([Get::new("a")])).await.unwrap();
    client.compact(Revision::new(5)).await.unwrap();
    assert_eq!(client.get_stream("a").await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Members that lag behind refuse what they don't have yet, unless they are to ask the others.
#[tokio::test]
async fn a_page_that_a_member_does_not_have_yet_is_asked_of_all() {
    let client = Client::from_service(service_fn(|request| async move {
        let AnyRequest::Get(get) = request else { panic!("unexpected {request:?}") };
        if get.revision().is_some() && get.is_serializable() {
            return Err(Error::new(ErrorKind::FutureRevision, "not yet"));
        }
        let range = get.key_range();
        let all = (0..250).map(|key| KeyValue::new(format!("{key:03}"), ""));
        let left: Vec<_> = all.filter(|kv| range.contains(kv.key())).collect();
        let page = left.iter().take(100).cloned();
        let answer = GetResponse::new(ResponseHeader::at(9), page);
        let answer = if left.len() > 100 { answer.with_more() } else { answer };
        Ok(AnyResponse::Get(answer.with_count(250)))
    }));
    let all = client.get_all(Get::all().serializable()).await.unwrap();
    assert_eq!((all.kvs().len(), all.count(), all.more()), (250, 250, false));
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_sent_again() {
    let sent = std::sync::Arc::new(AtomicU32::new(0));
    let counter = sent.clone();
    let client = Client::from_service(service_fn(move |request| {
        let sent = sent.clone();
        async move {
            let AnyRequest::Txn(_) = request else { panic!("unexpected {request:?}") };
            if sent.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(Error::new(ErrorKind::Unavailable, "lost").with_maybe_applied(true));
            }
            let now = KeyValue::new("a", "1").with_revisions(4, 4).with_version(1);
            let found = GetResponse::new(ResponseHeader::at(6), [now]);
            Ok(AnyResponse::Txn(TxnResponse::failure(ResponseHeader::at(6), [found.into()])))
        }
    }));
    let written = client.put_once(PutOnce::create("a", "1")).await.unwrap();
    assert_eq!(written, Revision::new(4));
    assert_eq!(counter.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_holds_for_all_attempts() {
    let options = CallOptions::new().timeout(Duration::from_secs(3));
    // (what never answers, whether a write may have happened)
    for (frozen_read, maybe_applied) in [(true, false), (false, true)] {
        let client = Client::from_service(service_fn(move |request| async move {
            match request {
                AnyRequest::Get(_) if !frozen_read => Ok(AnyResponse::Get(GetResponse::default())),
                _ => std::future::pending().await,
            }
        }));
        let begin = clock::now();
        let write = PutOnce::new("a", "1");
        let error = client.with_options(options.clone()).put_once(write).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.maybe_applied(), maybe_applied);
        assert_eq!(begin.elapsed().as_secs(), 3);
    }
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn values_as_json() {
    let client = Client::from_service(service_fn(|request| async move {
        Ok(match request {
            AnyRequest::Put(put) => {
                assert_eq!(put, Put::new("a", "[1,2]"));
                AnyResponse::Put(PutResponse::default())
            }
            AnyRequest::Get(get) if get == Get::new("a") => AnyResponse::Get(GetResponse::new(
                ResponseHeader::at(1),
                [KeyValue::new("a", "[1,2]")],
            )),
            AnyRequest::Get(_) => AnyResponse::Get(GetResponse::default()),
            other => panic!("unexpected {other:?}"),
        })
    }));
    client.put_json("a", &[1, 2]).await.unwrap();
    assert_eq!(client.get_json::<Vec<u8>>("a").await.unwrap(), Some(vec![1, 2]));
    assert_eq!(client.get_json::<Vec<u8>>("b").await.unwrap(), None);
    let error = client.get_json::<String>("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains(r#"value of b"a""#), "{error}");
}
