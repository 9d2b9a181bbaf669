//! Transactions in memory.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcdkit::concurrency::{Isolation, Stm, StmConflict, StmOptions};
use etcdkit::{Client, Compact, Error, ErrorKind, Get, Put, Result, Revision};
use tokio::task::JoinSet;

use super::spawn;
use crate::kv::members::*;

const ALL: [Isolation; 4] = [
    Isolation::SerializableSnapshot,
    Isolation::Serializable,
    Isolation::RepeatableReads,
    Isolation::ReadCommitted,
];

fn number(value: Option<Bytes>) -> i64 {
    value.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap())
}

#[tokio::test]
async fn stm_put_new_key() {
    on_every_version(async |client, _| {
        for (index, isolation) in ALL.into_iter().enumerate() {
            let key = format!("stm_put_new_key{index}");
            let done = client
                .stm(isolation, async |stm| {
                    stm.put(&key, "bar");
                    Ok::<_, Error>(())
                })
                .await
                .unwrap();
            let kv = client.get(&key).await.unwrap().into_first().unwrap();
            assert_eq!((kv.value(), kv.mod_revision()), (b"bar".as_slice(), done.revision));
        }
    })
    .await;
}

#[tokio::test]
async fn stm_abort() {
    on_every_version(async |client, _| {
        #[derive(Debug)]
        enum Refused {
            Broke,
            Etcd(#[expect(dead_code, reason = "shown when the test fails")] Error),
        }
        impl From<Error> for Refused {
            fn from(error: Error) -> Self {
                Self::Etcd(error)
            }
        }
        let refused = client
            .stm(StmOptions::new(), async |stm| {
                stm.put("stm_abort", "baz");
                Err::<(), _>(Refused::Broke)
            })
            .await;
        assert!(matches!(refused, Err(Refused::Broke)), "{refused:?}");
        assert_eq!(value(&client, "stm_abort").await, None);
    })
    .await;
}

/// Upstream runs the code on a task of its own, where a panic ends the process.
#[tokio::test]
async fn a_panic_in_the_code_reaches_its_caller() {
    on_every_version(async |client, _| {
        let running = client.clone();
        let panics = spawn(async move {
            let outcome = running.stm(StmOptions::new(), |stm| async move {
                stm.put("stm_panics", "1");
                if stm.get("stm_panics").await?.is_some() {
                    panic!("the code of a test");
                }
                Ok::<(), Error>(())
            });
            outcome.await
        });
        assert!(in_time("the panic", panics).await.unwrap_err().is_panic());
        assert_eq!(value(&client, "stm_panics").await, None);
    })
    .await;
}

/// A transaction sees its own writes, and a list of keys is one value for each; an empty one asks nobody (`TestGet`).
#[tokio::test]
async fn get() {
    on_every_version(async |client, _| {
        client.put("stm_get_a", "1").await.unwrap();
        let read = async |stm: Stm| {
            assert!(stm.get_all(Vec::<Bytes>::new()).await?.is_empty());
            stm.put("stm_get_b", "2");
            let values = stm.get_all(["stm_get_a", "stm_get_b", "stm_get_c", "stm_get_a"]).await?;
            let shown: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            assert_eq!(shown, [Some(&b"1"[..]), Some(b"2"), None, Some(b"1")]);
            stm.delete("stm_get_a");
            assert_eq!(stm.get("stm_get_a").await?, None);
            assert!(stm.revision("stm_get_a").await? > Revision::NONE);
            assert_eq!(stm.revision("stm_get_c").await?, Revision::NONE);
            Ok::<_, Error>(())
        };
        for isolation in ALL {
            let prefetched = StmOptions::from(isolation).prefetch(["stm_get_a", "stm_get_c"]);
            client.stm(prefetched, read).await.unwrap();
            client.put("stm_get_a", "1").await.unwrap();
            client.stm(isolation, read).await.unwrap();
            assert_eq!(value(&client, "stm_get_a").await, None);
            client.put("stm_get_a", "1").await.unwrap();
        }
    })
    .await;
}

/// All reads are of one revision, also those that come after others have written.
#[tokio::test]
async fn stm_serialize() {
    on_every_version(async |client, _| {
        for isolation in [Isolation::SerializableSnapshot, Isolation::Serializable] {
            for key in ["stm_serialize_a", "stm_serialize_b"] {
                client.put(key, "old").await.unwrap();
            }
            let done = client
                .stm(isolation, async |stm| {
                    let a = stm.get("stm_serialize_a").await?;
                    if a.as_deref() == Some(b"old") {
                        client.put("stm_serialize_a", "new").await?;
                        client.put("stm_serialize_b", "new").await?;
                    }
                    let b = stm.get("stm_serialize_b").await?;
                    assert_eq!(a, b, "reads of two revisions");
                    Ok::<_, Error>(a)
                })
                .await
                .unwrap();
            // What only reads is done as it stands, of the revision that it has seen.
            assert_eq!((done.value.as_deref(), done.attempts), (Some(&b"old"[..]), 1));
        }
    })
    .await;
}

/// What the levels differ in: a key that was read, or only written, is changed by others in between.
#[tokio::test]
async fn stm_conflict() {
    on_every_version(async |client, _| {
        let (read, written) = ("stm_conflict_read", "stm_conflict_written");
        // How often it runs if others change what was read, and if they change what is written.
        let table = [
            (Isolation::SerializableSnapshot, 2, 2),
            (Isolation::Serializable, 2, 1),
            (Isolation::RepeatableReads, 2, 1),
            (Isolation::ReadCommitted, 1, 1),
        ];
        for (isolation, if_read, if_written) in table {
            for (changed, expected) in [(read, if_read), (written, if_written)] {
                client.put(read, "0").await.unwrap();
                let first = AtomicU32::new(0);
                let done = client
                    .stm(isolation, async |stm| {
                        let seen = stm.get(read).await?;
                        if first.fetch_add(1, Ordering::Relaxed) == 0 {
                            client.put(changed, "1").await?;
                        }
                        stm.put(written, "mine");
                        Ok::<_, Error>(seen)
                    })
                    .await
                    .unwrap();
                assert_eq!(done.attempts, expected, "{isolation:?}, {changed}");
                assert_eq!(value(&client, written).await.as_deref(), Some("mine"));
                if expected == 2 && changed == read {
                    assert_eq!(done.value.as_deref(), Some(&b"1"[..]), "{isolation:?}");
                }
            }
        }
    })
    .await;
}

/// A key that is deleted while it is read is a conflict, and absent for the next attempt.
#[tokio::test]
async fn stm_apply_on_concurrent_deletion() {
    on_every_version(async |client, _| {
        let key = "stm_concurrent_deletion";
        client.put(key, "bar").await.unwrap();
        let done = client
            .stm(Isolation::RepeatableReads, async |stm| {
                let seen = stm.get(key).await?;
                if seen.is_some() {
                    client.delete(key).await?;
                }
                stm.put(key, "bar2");
                Ok::<_, Error>(seen)
            })
            .await
            .unwrap();
        assert_eq!((done.value, done.attempts), (None, 2));
        assert_eq!(value(&client, key).await.as_deref(), Some("bar2"));
    })
    .await;
}

#[tokio::test]
async fn stm_serializable_snapshot_put() {
    on_every_version(async |client, _| {
        // Nothing was read: there is no revision that the write could come too late for.
        client.put("stm_snapshot_put", "a").await.unwrap();
        client.put("stm_snapshot_put", "b").await.unwrap();
        let done = client
            .stm(StmOptions::new(), async |stm| {
                stm.get("stm_snapshot_put_none").await?;
                stm.put("stm_snapshot_put", "c");
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
        assert_eq!(done.attempts, 1);
        let kv = client.get("stm_snapshot_put").await.unwrap().into_first().unwrap();
        assert_eq!((kv.version(), kv.value()), (3, b"c".as_slice()));
    })
    .await;
}

#[tokio::test]
async fn attempts_are_limited_and_the_error_names_the_keys() {
    on_every_version(async |client, _| {
        let key = "stm_attempts";
        let error = client
            .stm(StmOptions::new().attempts(3), async |stm| {
                stm.get(key).await?;
                stm.get("stm_attempts_other").await?;
                client.put(key, "theirs").await?;
                stm.put(key, "mine");
                Ok::<_, Error>(())
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let conflict = error.source().unwrap().downcast_ref::<StmConflict>().unwrap();
        assert_eq!((conflict.keys.as_slice(), conflict.attempts), (&[Bytes::from(key)][..], 3));
        assert!(!error.maybe_applied());
        assert_eq!(value(&client, key).await.as_deref(), Some("theirs"));
    })
    .await;
}

/// A revision that is compacted under a transaction has it run again.
#[tokio::test]
async fn a_compaction_has_it_run_again() {
    on_own_member(async |client, _| {
        client.put("a", "1").await.unwrap();
        let runs = AtomicU32::new(0);
        let done = client
            .stm(StmOptions::new(), async |stm| {
                stm.get("a").await?;
                if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                    client.put("b", "1").await?;
                    client.put("b", "2").await?;
                    client.compact(Compact::new(client.get("b").await?.revision())).await?;
                }
                stm.get("b").await
            })
            .await
            .unwrap();
        assert_eq!((done.value.as_deref(), done.attempts), (Some(&b"2"[..]), 2));
    })
    .await;
}

async fn transfer(client: &Client, from: String, to: String) -> Result<()> {
    let options = StmOptions::new().attempts(10_000).prefetch([&from, &to]);
    let done = client.stm(options, async |stm| {
        let (left, right) = (number(stm.get(&from).await?), number(stm.get(&to).await?));
        stm.put(&from, (left - 1).to_string());
        stm.put(&to, (right + 1).to_string());
        Ok::<_, Error>(())
    });
    done.await.map(drop)
}

/// ExampleSTM_apply, with more of everything: no money is made or lost, at no revision.
#[tokio::test]
async fn bank_transfer() {
    const ACCOUNTS: usize = 20;
    const WORKERS: usize = 16;
    const TRANSFERS: usize = 15;
    on_own_member(async |client, _| {
        let account = |number: usize| format!("account/{:02}", number % ACCOUNTS);
        for number in 0..ACCOUNTS {
            client.put(account(number), "100").await.unwrap();
        }
        let from = revision(&client).await;
        let client = Arc::new(client);
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let client = Arc::clone(&client);
            workers.spawn(async move {
                for round in 0..TRANSFERS {
                    let (one, other) = (worker * 7 + round, worker * 3 + round * 5 + 1);
                    if one % ACCOUNTS != other % ACCOUNTS {
                        transfer(&client, account(one), account(other)).await.unwrap();
                    }
                }
            });
        }
        let limit = Duration::from_secs(120);
        at_most(limit, "all transfers", workers.join_all()).await;
        let to = revision(&client).await;
        assert!(to.get() - from.get() > 100, "{from} to {to}");
        for at in from.get()..=to.get() {
            let all = client.get(Get::prefix("account/").at_revision(at)).await.unwrap();
            let sum: i64 = all.kvs().iter().map(|kv| number(Some(kv.value_bytes()))).sum();
            assert_eq!(sum, 100 * ACCOUNTS as i64, "at revision {at}");
        }
    })
    .await;
}

/// Puts with a lease, and more keys than one transaction of etcd may read.
#[tokio::test]
async fn leases_and_many_keys() {
    on_every_version(async |client, _| {
        let lease = grant(&client).await;
        let keys: Vec<String> = (0..250).map(|number| format!("stm_many/{number}")).collect();
        client.put(&*keys[249], "last").await.unwrap();
        let done = client
            .stm(StmOptions::new(), async |stm| {
                let values = stm.get_all(&keys).await?;
                stm.write(Put::new("stm_many_leased", "1").lease(lease));
                Ok::<_, Error>(values.iter().flatten().count())
            })
            .await;
        // 250 conditions are more than etcd's 128: refused by the server, and not half done.
        assert_eq!(done.unwrap_err().kind(), ErrorKind::InvalidArgument);
        let done = client.stm(Isolation::ReadCommitted, async |stm| {
            let values = stm.get_all(&keys).await?;
            stm.write(Put::new("stm_many_leased", "1").lease(lease));
            Ok::<_, Error>(values.iter().flatten().count())
        });
        assert_eq!(done.await.unwrap().value, 1);
        let kv = client.get("stm_many_leased").await.unwrap().into_first().unwrap();
        assert_eq!(kv.lease(), Some(lease));
    })
    .await;
}
