//! The store of an API server on real etcd, each version that is at hand.
#![cfg(test)]

use etcdkit::kubernetes::{Kubernetes, List};
use etcdkit::{Compact, ErrorKind, Revision};

use crate::kv::members::*;

#[tokio::test]
async fn objects_are_written_only_as_expected() {
    on_every_version(async |client, _| {
        let store = Kubernetes::new(&client);
        let key = "optimistic/a";
        assert_eq!(store.get(key).await.unwrap().kv, None);
        let made = store.optimistic_put(key, "1", Revision::NONE).await.unwrap();
        assert!(made.succeeded && made.kv.is_none());
        let again = store.optimistic_put(key, "2", Revision::NONE).await.unwrap();
        let there = again.kv.as_ref().unwrap();
        assert!(!again.succeeded && there.value() == b"1" && there.mod_revision() == made.revision);
        let lease = grant(&client).await;
        let changed = store.optimistic_put_on(lease, key, "2", made.revision).await.unwrap();
        assert!(changed.succeeded && changed.revision > made.revision);
        assert_eq!(store.get(key).await.unwrap().kv.unwrap().lease(), Some(lease));
        let before = store.get_at(key, made.revision).await.unwrap();
        assert_eq!(before.kv.unwrap().value(), b"1");

        let stale = store.optimistic_delete(key, made.revision).await.unwrap();
        assert!(!stale.succeeded);
        assert_eq!(stale.kv.unwrap().value(), b"2");
        let deleted = store.optimistic_delete(key, changed.revision).await.unwrap();
        assert!(deleted.succeeded && deleted.kv.is_none());
        // Of what is gone, there is nothing to show, and no panic.
        let gone = store.optimistic_delete(key, changed.revision).await.unwrap();
        assert!(!gone.succeeded && gone.kv.is_none());
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages_of_one_revision() {
    on_own_member(async |client, _| {
        let store = Kubernetes::new(&client);
        for number in 0..7 {
            client.put(format!("pods/{number}"), "1").await.unwrap();
        }
        client.put("pods0", "next door").await.unwrap();
        assert_eq!(store.count("pods/").await.unwrap(), 7);
        let mut page = store.list("pods/", List::new().limit(3)).await.unwrap();
        let revision = page.revision;
        client.delete("pods/6").await.unwrap();
        let mut pages = vec![(page.kvs.len(), page.remaining())];
        while let Some(rest) = page.rest() {
            page = store.list("pods/", rest.limit(3)).await.unwrap();
            assert_eq!(page.revision, revision);
            pages.push((page.kvs.len(), page.remaining()));
        }
        assert_eq!(pages, [(3, 4), (3, 1), (1, 0)]);
        let all = store.list("pods/", List::new()).await.unwrap();
        assert_eq!((all.kvs.len(), all.rest()), (6, None));
        fails(
            store.list("pods/", List::new().continue_from("pods0")).await,
            ErrorKind::InvalidArgument,
        );
        client.compact(Compact::new(all.revision)).await.unwrap();
        fails(store.list("pods/", List::new().at_revision(revision)).await, ErrorKind::Compacted);
    })
    .await;
}

#[tokio::test]
async fn watches_begin_after_a_list_and_tell_former_states() {
    on_every_version(async |client, _| {
        let store = Kubernetes::new(&client);
        client.put("kubernetes_watch/a", "1").await.unwrap();
        let list = store.list("kubernetes_watch/", List::new()).await.unwrap();
        client.put("kubernetes_watch/a", "2").await.unwrap();
        let mut watch = store.watch("kubernetes_watch/", list.revision).await.unwrap();
        let seen = in_time("an event", watch.next()).await.unwrap().unwrap();
        let event = &seen.events()[0];
        assert_eq!((event.kv().value(), event.previous().unwrap().value()), (&b"2"[..], &b"1"[..]));
    })
    .await;
}
