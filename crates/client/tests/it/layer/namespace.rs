//! Namespaces: what they move, and that nothing else is touched.

use etcdkit::lock::Lock;
use etcdkit::{
    Client, Compare, Delete, Get, KeyRange, LeaseTimeToLive, Op, Put, SortOrder, SortTarget, Txn,
    Watch,
};

use crate::kv::members::*;

#[tokio::test]
async fn namespace_put_get() {
    on_every_version(async |client, _| {
        let inside = client.clone().namespace("namespace_put_get/");
        inside.put("abc", "bar").await.unwrap();
        let answer = inside.get("abc").await.unwrap();
        assert_eq!(keys(&answer), ["abc"]);
        assert_eq!(value(&client, "namespace_put_get/abc").await.as_deref(), Some("bar"));
        assert_eq!(value(&client, "abc").await, None);
    })
    .await;
}

#[tokio::test]
async fn namespace_watch() {
    on_every_version(async |client, _| {
        let name = "namespace_watch/";
        let inside = client.clone().namespace(name);
        let mut outer = client.watch(Watch::new(format!("{name}abc"))).await.unwrap();
        let mut inner = inside.watch(Watch::all().prev_kv()).await.unwrap();
        client.put("namespace_watch0", "next door").await.unwrap();
        inside.put("abc", "1").await.unwrap();
        inside.put("abc", "2").await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let response = in_time("an event", inner.next()).await.unwrap().unwrap();
            seen.extend(response.into_events());
        }
        assert!(seen.iter().all(|event| event.key() == b"abc"), "{seen:?}");
        assert_eq!(seen[1].previous().unwrap().key(), b"abc");
        let raw = in_time("an event", outer.next()).await.unwrap().unwrap();
        assert_eq!(raw.events()[0].key(), b"namespace_watch/abc");
    })
    .await;
}

/// Prefixes with neighbours on either side, also those that end with bytes that can't grow.
#[tokio::test]
async fn neighbours_are_neither_seen_nor_touched() {
    on_own_member(async |client, _| {
        // One key too late is where a carry that isn't cut off would end.
        let table: [(&[u8], [&[u8]; 4]); 3] = [
            (b"n/", [b"n/", b"n.", b"n0", b"n00"]),
            (b"n\xff", [b"n\xff", b"n", b"o", b"o\0"]),
            (b"\xff\xff", [b"\xff\xff", b"\xff", b"\xfe", b"\xff\xfe\xff"]),
        ];
        for (prefix, neighbours) in table {
            client.call(Delete::all()).await.unwrap();
            for key in neighbours {
                client.put(key, "secret").await.unwrap();
            }
            let inside = client.clone().namespace(prefix);
            for key in ["a", "b", "c"] {
                inside.put(key, "1").await.unwrap();
            }
            let all = ["a", "b", "c"];
            assert_eq!(keys(&inside.get(Get::all()).await.unwrap()), all);
            assert_eq!(keys(&inside.get(Get::prefix("")).await.unwrap()), all);
            assert_eq!(keys(&inside.get(Get::from_key("b")).await.unwrap()), ["b", "c"]);
            let descending = Get::all().sort(SortTarget::Key, SortOrder::Descend);
            assert_eq!(keys(&inside.get(descending).await.unwrap()), ["c", "b", "a"]);
            let (streamed, _) =
                collect(inside.get_stream(Get::all()).await.unwrap()).await.unwrap();
            assert_eq!(keys(&streamed), all);
            assert_eq!(inside.get_all(Get::all()).await.unwrap().count(), 3);
            // A condition on everything is one on the namespace.
            let new = Txn::new().when([Compare::value(KeyRange::all()).eq("1")]);
            assert!(inside.txn(new).await.unwrap().succeeded());

            let deleted = inside.call(Delete::from_key("b").prev_kv()).await.unwrap();
            assert_eq!(deleted.deleted(), 2);
            assert_eq!(deleted.prev_kvs()[1].key(), b"c");
            assert_eq!(inside.call(Delete::all()).await.unwrap().deleted(), 1);
            let left = client.get(Get::all()).await.unwrap();
            assert_eq!(left.count(), 4, "{left:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn namespace_txn() {
    on_every_version(async |client, _| {
        let inside = client.clone().namespace("namespace_").namespace("txn/");
        inside.put("a", "1").await.unwrap();
        let inner = Txn::new()
            .when([Compare::missing("b")])
            .then([Op::from(Put::new("b", "2")), Get::prefix("").into()])
            .or_else([Delete::new("a")]);
        let outer = Txn::new()
            .when([Compare::value("a").eq("1")])
            .then([Op::from(inner), Put::new("c", "3").prev_kv().into()]);
        let answer = inside.txn(outer.clone()).await.unwrap();
        assert!(answer.succeeded());
        let nested = answer.responses()[0].as_txn().unwrap();
        assert_eq!(keys(nested.responses()[1].as_get().unwrap()), ["a", "b"]);
        assert_eq!(value(&client, "namespace_txn/b").await.as_deref(), Some("2"));
        // The same again goes the other way.
        let answer = inside.txn(outer).await.unwrap();
        let nested = answer.responses()[0].as_txn().unwrap();
        assert_eq!(nested.responses()[0].as_delete().unwrap().deleted(), 1);
        assert_eq!(answer.responses()[1].as_put().unwrap().prev_kv().unwrap().key(), b"c");
    })
    .await;
}

#[tokio::test]
async fn leases_locks_and_elections_in_a_namespace() {
    on_every_version(async |client, _| {
        let name = "leases_in_a_namespace/";
        let inside: Client<_> = client.clone().namespace(name);
        let lease = grant(&client).await;
        inside.call(Put::new("a", "1").lease(lease)).await.unwrap();
        client.call(Put::new("leases_next_door", "1").lease(lease)).await.unwrap();
        let keys = |answer: etcdkit::LeaseTimeToLiveResponse| {
            let mut keys = answer.keys().to_vec();
            keys.sort_unstable();
            keys
        };
        let shown = inside.time_to_live(LeaseTimeToLive::new(lease).keys()).await.unwrap();
        assert_eq!(keys(shown), ["a"]);
        fails(inside.revoke(lease).await, etcdkit::ErrorKind::PermissionDenied);
        client.delete("leases_next_door").await.unwrap();

        let held = inside.lock(Lock::new("lock", lease)).await.unwrap();
        assert_eq!(held.key(), &format!("lock/{:x}", lease.get()));
        let raw = client.get(Get::prefix(format!("{name}lock/"))).await.unwrap();
        assert_eq!(raw.count(), 1);
        inside.unlock(held.key()).await.unwrap();

        let leader = inside.campaign("election", lease, "me").await.unwrap().into_leader();
        assert_eq!(leader.name(), "election");
        inside.proclaim(leader.clone(), "still me").await.unwrap();
        let shown = inside.leader("election").await.unwrap();
        assert_eq!(shown.kv().unwrap().key(), leader.key());
        let mut observed = inside.observe("election").await.unwrap();
        let seen = in_time("the leader", observed.next()).await.unwrap().unwrap();
        assert_eq!(
            (seen.kv().unwrap().key(), seen.kv().unwrap().value()),
            (&leader.key()[..], &b"still me"[..])
        );
        inside.resign(leader).await.unwrap();
        inside.revoke(lease).await.unwrap();
        assert_eq!(value(&client, &format!("{name}a")).await, None);
    })
    .await;
}
