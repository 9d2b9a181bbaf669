//! Layers on real etcd, each version that is at hand, named after the tests of etcd's own client that they match.
#![cfg(test)]

mod leasing;
mod namespace;
mod ordering;

use std::time::Duration;

use etcdkit::service::Service;
use etcdkit::{Client, Delete, Get, Put};

use crate::kv::members::{collect, keys, on_own_member, value};

/// What a program does with a client, whatever layers are in it.
async fn use_it<S: Service + Clone>(client: Client<S>) {
    for _ in 0..2 {
        client.put("a", "1").await.expect("a write");
        assert_eq!(value(&client, "a").await.as_deref(), Some("1"));
        let serializable = client.get(Get::new("a").serializable()).await.expect("a read");
        assert_eq!(serializable.count(), 1);
        let streamed = client.get_stream(Get::prefix("a")).await.expect("a stream");
        let (streamed, _) = collect(streamed).await.expect("all pieces");
        assert_eq!(keys(&streamed), ["a"]);
        client.call(Put::new("a", "2").prev_kv()).await.expect("a write");
        let mut watch = client.watch("a").await.expect("a watch");
        client.put("a", "3").await.expect("a write");
        let seen = watch.next().await.expect("it goes on").expect("an event");
        assert_eq!((seen.events()[0].key(), seen.events()[0].kv().value()), (&b"a"[..], &b"3"[..]));
        assert_eq!(value(&client, "a").await.as_deref(), Some("3"));
        assert_eq!(client.call(Delete::prefix("")).await.expect("a deletion").deleted(), 1);
        assert_eq!(value(&client, "a").await, None);
    }
}

#[tokio::test]
async fn layers_work_in_any_order() {
    on_own_member(async |client, _| {
        client.put("outside", "").await.unwrap();
        let base = || client.clone();
        let ttl = Duration::from_secs(60);
        use_it(base().namespace("1/").ordered()).await;
        use_it(base().ordered().namespace("2/").namespace("2/")).await;
        let leasing = base().namespace("3/").ordered().leasing("\u{1}leasing/", ttl).await.unwrap();
        use_it(leasing).await;
        let leasing = base().ordered().leasing("\u{1}leasing/", ttl).await.unwrap();
        use_it(leasing.namespace("4/").boxed()).await;
        let leasing = base().leasing("\u{1}leasing/", ttl).await.unwrap();
        use_it(leasing.namespace("5/").ordered()).await;
        let left = client.get(Get::from_key("\u{2}")).await.unwrap();
        assert_eq!(keys(&left), ["outside"]);
    })
    .await;
}
