//! Writes that happen once, whatever becomes of their answers.

use std::time::Duration;

use etcdkit::{Client, ErrorKind, Get, PutOnce, Revision};
use etcdkit_testkit::proxy::{Direction, Proxy};

use super::lost::eager;
use super::members::*;

#[tokio::test]
async fn put_once_creates_replaces_and_writes_over() {
    on_every_version(async |client, _| {
        let key = "put_once_creates/k";
        let created = client.put_once(PutOnce::create(key, "1")).await.unwrap();
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.mod_revision()), (&b"1"[..], created));
        conflict(&client, PutOnce::create(key, "2")).await;
        conflict(&client, PutOnce::new(key, "2").if_mod_revision(Revision::NONE)).await;
        conflict(&client, PutOnce::new(key, "2").if_mod_revision(created.next())).await;

        let replaced = client.put_once(PutOnce::replace(&kv, "2")).await.unwrap();
        assert!(replaced > created);
        conflict(&client, PutOnce::replace(&kv, "3")).await;
        let again = PutOnce::new(key, "3").if_mod_revision(replaced);
        client.put_once(again).await.unwrap();

        let lease = grant(&client).await;
        let over = client.put_once(PutOnce::new(key, "4").lease(lease)).await.unwrap();
        let kv = client.get(key).await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.version(), kv.lease()), (&b"4"[..], 4, Some(lease)));
        assert_eq!(kv.mod_revision(), over);
        client.put_once(PutOnce::new("put_once_creates/new", "1")).await.unwrap();
    })
    .await;
}

async fn conflict(client: &Client, write: PutOnce) {
    let error = client.put_once(write.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{write:?}: {error}");
    assert!(!error.maybe_applied(), "{write:?}: {error}");
}

/// Each connection is cut after a random number of bytes, one way or the other: each write happens exactly once.
#[tokio::test]
async fn put_once_over_connections_that_are_cut() {
    on_every_version(async |direct, etcd| {
        let seed = 0x5eed + u64::from(etcd.version().minor());
        let mut rng = fastrand::Rng::with_seed(seed);
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = eager(&proxy).await;
        proxy.cut_after(Direction::ToServer, 1000);
        proxy.reset();
        let client = client.with_options(within(DEADLINE));
        let prefix = "put_once_cut/";
        let mut unknown = 0;
        for number in 0..200u32 {
            // One connection carries a handful of calls, some of them in part.
            let direction = [Direction::ToServer, Direction::ToClient][rng.usize(0..2)];
            proxy.cut_after(direction, rng.u64(0..1500));
            let key = format!("{prefix}{}", number / 3);
            let value = format!("{seed:x} {number}");
            let before = direct.get(key.clone()).await.unwrap().into_first();
            let write = match (number % 3, &before) {
                (0, None) => PutOnce::create(key.clone(), value.clone()),
                (1, Some(kv)) => PutOnce::replace(kv, value.clone()),
                _ => PutOnce::new(key.clone(), value.clone()),
            };
            let outcome = client.put_once(write).await;
            let after = direct.get(key.clone()).await.unwrap().into_first();
            let version = |kv: Option<&etcdkit::KeyValue>| kv.map_or(0, |kv| kv.version());
            let writes = version(after.as_ref()) - version(before.as_ref());
            match outcome {
                Ok(revision) => {
                    let kv = after.unwrap();
                    assert_eq!((kv.value(), writes), (value.as_bytes(), 1), "seed {seed:x}");
                    assert_eq!(kv.mod_revision(), revision, "seed {seed:x}");
                }
                Err(error) if error.maybe_applied() => {
                    assert!(writes <= 1, "seed {seed:x}, {number}: {error}");
                    unknown += 1;
                }
                Err(error) => panic!("seed {seed:x}, {number}: {error}"),
            }
        }
        assert!(proxy.connections() > 20, "{} connections were cut", proxy.connections());
        assert!(unknown <= 10, "the outcome of {unknown} of 200 writes stayed unknown");
        let count = direct.get(Get::prefix(prefix).count_only()).await.unwrap().count();
        assert!(count <= 67);
    })
    .await;
}

/// Until its own deadline a write waits for a member that is gone; then it says what is known.
#[tokio::test]
async fn put_once_without_a_member() {
    on_own_member(async |client, etcd| {
        etcd.kill().await;
        super::lost::noticed(&client).await;
        let hurried = client.with_options(within(Duration::from_millis(200)));
        let error = hurried.put_once(PutOnce::create("a", "1")).await.unwrap_err();
        let expected = [ErrorKind::Timeout, ErrorKind::Unavailable];
        assert!(expected.contains(&error.kind()), "{error}");
        let patient = client.with_options(within(DEADLINE));
        let (written, ()) = tokio::join!(patient.put_once(PutOnce::create("b", "1")), etcd.start());
        written.unwrap();
        assert_eq!(value(&client, "b").await.as_deref(), Some("1"));
    })
    .await;
}
