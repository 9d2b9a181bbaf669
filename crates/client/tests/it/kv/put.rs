//! Writing keys.

use std::time::Duration;

use etcdkit::proto::etcdserverpb::PutRequest;
use etcdkit::proto::method;
use etcdkit::{ErrorKind, LeaseId, Put, PutOnce, Revision, ServerError, Txn};
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use super::members::*;

#[tokio::test]
async fn kv_put() {
    on_every_version(async |client, _| {
        let first = client.put("kv_put/foo", "bar").await.unwrap();
        assert_eq!(first.prev_kv(), None);
        let answer = client.get("kv_put/foo").await.unwrap();
        assert_eq!((answer.kvs().len(), answer.count(), answer.more()), (1, 1, false));
        let kv = answer.first().unwrap();
        assert_eq!((kv.key(), kv.value()), (&b"kv_put/foo"[..], &b"bar"[..]));
        assert_eq!((kv.create_revision(), kv.mod_revision()), (first.revision(), first.revision()));
        assert_eq!((kv.version(), kv.lease()), (1, None));
        assert_ne!(answer.header().cluster_id, 0);
        assert_ne!(answer.header().member_id, 0);
        assert_ne!(answer.header().raft_term, 0);
    })
    .await;
}

#[tokio::test]
async fn v3_put_overwrite() {
    on_every_version(async |client, _| {
        let key = "v3_put_overwrite";
        let first = client.put(key, "bar").await.unwrap();
        let second = client.call(Put::new(key, "baz").prev_kv()).await.unwrap();
        assert!(second.revision() > first.revision());
        assert_eq!(second.prev_kv().unwrap().value(), b"bar");
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.version()), (&b"baz"[..], 2));
        assert_eq!(
            (kv.create_revision(), kv.mod_revision()),
            (first.revision(), second.revision())
        );
    })
    .await;
}

#[tokio::test]
async fn v3_put_restart() {
    on_own_member(async |client, etcd| {
        let put = client.put("foo", "bar").await.unwrap();
        etcd.restart().await;
        let kv = client.get("foo").await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.mod_revision()), (&b"bar"[..], put.revision()));
    })
    .await;
}

#[tokio::test]
async fn kv_put_error() {
    const LIMIT: usize = 1536 * 1024;
    let quota = LIMIT as u64 * 6 / 5 + 8 * 4096;
    on_own_member_with(
        |etcd| etcd.quota_backend_bytes(quota),
        async |client, _| {
            // The client knows as well as the server that a key can't be empty.
            let error = client.put("", "bar").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.attempts().is_empty() && !error.maybe_applied(), "{error}");
            refused(
                client.raw(method::kv::PUT, &PutRequest::default()).await,
                ServerError::EmptyKey,
            );

            refused(client.put("key", vec![b'x'; LIMIT + 100]).await, ServerError::RequestTooLarge);
            client.put("foo1", vec![b'x'; LIMIT - 50]).await.unwrap();
            // The size of the database is known to the server once it is written to the file.
            eventually("the quota to be exceeded", DEADLINE, async || {
                let outcome = client.put("foo2", vec![b'x'; LIMIT - 50]).await;
                outcome.is_err().then(|| refused(outcome, ServerError::NoSpace))
            })
            .await;
            assert_eq!(client.get("foo1").await.unwrap().count(), 1);
            let error = client.put("foo3", "x").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
        },
    )
    .await;
}

/// Of the writes under way when the quota is exceeded, some are applied and refused: nothing that is there was said to be
/// certainly not applied. What `put_once` says to have written is there, at that revision.
#[tokio::test]
async fn what_a_full_store_refused_may_be_in_it() {
    on_own_member_with(
        |etcd| etcd.quota_backend_bytes(4 << 20),
        async |client, _| {
            let mut writers = JoinSet::new();
            for writer in 0..32 {
                let client = client.clone();
                writers.spawn(async move {
                    let mut full = 0;
                    for number in 0..40 {
                        let key = format!("{writer}/{number}");
                        let value = vec![b'x'; 30_000];
                        let outcome = if writer % 2 == 0 {
                            client.put(key.clone(), value).await.map(|answer| answer.revision())
                        } else {
                            client.put_once(PutOnce::create(key.clone(), value)).await
                        };
                        let there = client.get(key).await.unwrap().into_first();
                        match outcome {
                            Ok(revision) => assert_eq!(there.unwrap().mod_revision(), revision),
                            Err(error) => {
                                assert_eq!(error.server_error(), Some(ServerError::NoSpace));
                                assert!(there.is_none() || error.maybe_applied(), "{error}");
                                full += 1;
                            }
                        }
                        if full == 3 {
                            break;
                        }
                    }
                    full
                });
            }
            let full: u32 = writers.join_all().await.into_iter().sum();
            assert!(full > 32, "the store refused {full} writes");
        },
    )
    .await;
}

#[tokio::test]
async fn kv_put_with_lease() {
    on_every_version(async |client, _| {
        let lease = grant(&client).await;
        let key = "kv_put_with_lease/hello";
        client.call(Put::new(key, "world").lease(lease)).await.unwrap();
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.lease()), (&b"world"[..], Some(lease)));
        // A put without a lease detaches the key.
        client.put(key, "world").await.unwrap();
        assert_eq!(client.get(key).await.unwrap().first().unwrap().lease(), None);
    })
    .await;
}

#[tokio::test]
async fn v3_put_missing_lease() {
    on_every_version(async |client, _| {
        let put = Put::new("v3_put_missing_lease", "x").lease(LeaseId::new(123_456).unwrap());
        let tries = [Txn::new().then([put.clone()]), Txn::new().or_else([put.clone()])];
        refused(client.call(put).await, ServerError::LeaseNotFound);
        let [success, failure] = tries;
        refused(client.txn(success).await, ServerError::LeaseNotFound);
        let missing = etcdkit::Compare::exists("v3_put_missing_lease");
        refused(client.txn(failure.when([missing])).await, ServerError::LeaseNotFound);
        assert_eq!(value(&client, "v3_put_missing_lease").await, None);
    })
    .await;
}

#[tokio::test]
async fn kv_put_with_ignore_value() {
    on_every_version(async |client, _| {
        let key = "kv_put_with_ignore_value/foo";
        let outcome = client.call(Put::keep_value(key)).await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::NotFound);
        refused(outcome, ServerError::KeyNotFound);
        client.put(key, "bar").await.unwrap();
        let answer = client.call(Put::keep_value(key).prev_kv()).await.unwrap();
        assert_eq!(answer.prev_kv().unwrap().value(), b"bar");
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.version()), (&b"bar"[..], 2));
    })
    .await;
}

#[tokio::test]
async fn kv_put_with_ignore_lease() {
    on_every_version(async |client, _| {
        let key = "kv_put_with_ignore_lease/zoo";
        let lease = grant(&client).await;
        refused(client.call(Put::new(key, "x").keep_lease()).await, ServerError::KeyNotFound);
        client.call(Put::new(key, "bar").lease(lease)).await.unwrap();
        client.call(Put::new(key, "baz").keep_lease()).await.unwrap();
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.version(), kv.lease()), (&b"baz"[..], 2, Some(lease)));
    })
    .await;
}

/// What our own types can't say is still what the server refuses.
#[tokio::test]
async fn v3_put_ignore_value_and_lease() {
    on_every_version(async |client, _| {
        let key = "v3_put_ignore_value_and_lease";
        let lease = grant(&client).await;
        client.call(Put::new(key, "bar").lease(lease)).await.unwrap();
        let put = |change: fn(&mut PutRequest)| {
            let mut put = PutRequest { key: key.into(), ..PutRequest::default() };
            change(&mut put);
            put
        };
        for (request, expected) in [
            (
                put(|put| {
                    put.ignore_value = true;
                    put.value = "x".into();
                }),
                ServerError::ValueProvided,
            ),
            (
                put(|put| {
                    put.ignore_lease = true;
                    put.lease = 123;
                }),
                ServerError::LeaseProvided,
            ),
        ] {
            refused(client.raw(method::kv::PUT, &request).await, expected);
        }
        // Both at once write the key as it is.
        client.call(Put::keep_value(key).keep_lease()).await.unwrap();
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.version(), kv.lease()), (&b"bar"[..], 2, Some(lease)));
        // The value stays, the lease goes.
        client.call(Put::keep_value(key)).await.unwrap();
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.version(), kv.lease()), (&b"bar"[..], 3, None));
    })
    .await;
}

/// Keys and values are bytes; an empty value is one.
#[tokio::test]
async fn any_bytes_but_an_empty_key() {
    on_every_version(async |client, _| {
        let prefix = b"any_bytes/".to_vec();
        for (key, value) in [
            (&b"\0"[..], &b""[..]),
            (b"\xff\xff", b"\0"),
            (b"\xc3\x28", b"\xff\xfe"),
            (b"a\nb", b"line\r\n"),
        ] {
            let key = [&prefix, key].concat();
            client.put(key.clone(), value).await.unwrap();
            let kv = client.get(key.clone()).await.unwrap().into_first().unwrap();
            assert_eq!((kv.key(), kv.value()), (&key[..], value));
            assert_eq!(client.delete(key).await.unwrap().deleted(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn typed_revisions() {
    on_every_version(async |client, _| {
        let key = "typed_revisions";
        let put = client.put(key, "1").await.unwrap();
        let next = client.put(key, "2").await.unwrap();
        assert!(next.revision() >= put.revision().next() && put.revision() > Revision::NONE);
        let old = client.get(etcdkit::Get::new(key).at_revision(put.revision())).await.unwrap();
        assert_eq!(old.first().unwrap().value(), b"1");
        assert!(old.revision() >= next.revision(), "the header tells the present");
        let unchanged = etcdkit::Compare::mod_revision(key).eq(next.revision());
        let txn = Txn::new().when([unchanged]).then([Put::new(key, "3")]);
        assert!(client.txn(txn).await.unwrap().succeeded());
    })
    .await;
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn values_as_json() {
    on_every_version(async |client, _| {
        client.put_json("values_as_json", &[1, 2]).await.unwrap();
        assert_eq!(value(&client, "values_as_json").await.as_deref(), Some("[1,2]"));
        let read: Option<Vec<u32>> = client.get_json("values_as_json").await.unwrap();
        assert_eq!(read, Some(vec![1, 2]));
        let lease = grant(&client).await;
        let put = Put::json("values_as_json", "text").unwrap().lease(lease);
        client.call(put).await.unwrap();
        let error = client.get_json::<u32>("values_as_json").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert_eq!(client.get_json::<u32>("values_as_json/none").await.unwrap(), None);
    })
    .await;
}

/// A timeout of the caller's own holds, and is not mistaken for certainty.
#[tokio::test]
async fn a_put_that_gets_no_answer_in_time() {
    on_own_member(async |client, etcd| {
        etcd.pause();
        let hurried = client.with_options(within(Duration::from_millis(300)));
        let error = hurried.put("foo", "bar").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.maybe_applied(), "{error}");
        etcd.resume();
        in_time("the member answers again", client.get("foo")).await.unwrap();
    })
    .await;
}
