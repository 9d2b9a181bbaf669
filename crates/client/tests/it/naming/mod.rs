//! Endpoints of services on real etcd, each version that is at hand, named after the tests of etcd's own client that they
//! match.
#![cfg(test)]

#[cfg(feature = "tonic")]
mod balanced;

use etcdkit::naming::{Endpoint, EndpointChange, EndpointUpdate, EndpointUpdates, Endpoints};
use etcdkit::{Compact, ErrorKind};
use etcdkit_testkit::proxy::Proxy;

use crate::kv::members::*;

async fn next(updates: &mut EndpointUpdates) -> Vec<EndpointChange> {
    in_time("changes", updates.next()).await.expect("it goes on").expect("it goes on")
}

fn add(key: &str, address: &str) -> EndpointChange {
    EndpointChange::Add { key: key.to_owned().into(), endpoint: Endpoint::new(address) }
}

fn delete(key: &str) -> EndpointChange {
    EndpointChange::Delete { key: key.to_owned().into() }
}

#[tokio::test]
async fn endpoint_manager() {
    on_every_version(async |client, _| {
        let endpoints = Endpoints::new(&client, "endpoint_manager").unwrap();
        let key = "endpoint_manager/a1";
        endpoints.add(key, Endpoint::new("127.0.0.1")).await.unwrap();
        let mut updates = endpoints.watch();
        assert_eq!(next(&mut updates).await, [add(key, "127.0.0.1")]);
        let stored = value(&client, key).await.unwrap();
        assert_eq!(stored, r#"{"Op":0,"Addr":"127.0.0.1","Metadata":null}"#);
        endpoints.delete(key).await.unwrap();
        assert_eq!(next(&mut updates).await, [delete(key)]);
    })
    .await;
}

#[tokio::test]
async fn endpoint_manager_atomicity() {
    on_every_version(async |client, _| {
        let endpoints = Endpoints::new(&client, "endpoint_atomicity").unwrap();
        let mut updates = endpoints.watch();
        let (a, b) = ("endpoint_atomicity/a1", "endpoint_atomicity/b1");
        let both = [
            EndpointUpdate::add(a, Endpoint::new("127.0.0.1:2000")),
            EndpointUpdate::add(b, Endpoint::new("127.0.0.1:2001")),
        ];
        endpoints.update(both).await.unwrap();
        let expected = [add(a, "127.0.0.1:2000"), add(b, "127.0.0.1:2001")];
        assert_eq!(next(&mut updates).await, expected);
        endpoints.update([EndpointUpdate::delete(a), EndpointUpdate::delete(b)]).await.unwrap();
        assert_eq!(next(&mut updates).await, [delete(a), delete(b)]);
    })
    .await;
}

#[tokio::test]
async fn endpoint_manager_crud() {
    on_every_version(async |client, _| {
        let name = "endpoint_crud";
        let endpoints = Endpoints::new(&client, name).unwrap();
        let (k1, k2) = (format!("{name}/k1"), format!("{name}/k2"));
        endpoints.add(&*k1, Endpoint::new("addr1")).await.unwrap();
        let second = Endpoint::new("addr2").with_metadata(&7).unwrap();
        let lease = grant(&client).await;
        endpoints.add_on(lease, &*k2, second.clone()).await.unwrap();
        let listed = endpoints.list().await.unwrap();
        assert_eq!(listed.into_values().collect::<Vec<_>>(), [Endpoint::new("addr1"), second]);
        endpoints.delete(&*k1).await.unwrap();
        endpoints.add(&*k2, Endpoint::new("addr3")).await.unwrap();
        // What is no endpoint is left out.
        client.put(format!("{name}/k3"), "no endpoint").await.unwrap();
        let listed = endpoints.list().await.unwrap();
        assert_eq!(listed.into_values().collect::<Vec<_>>(), [Endpoint::new("addr3")]);
        endpoints.delete(&*k2).await.unwrap();
        assert!(endpoints.list().await.unwrap().is_empty());
        fails(endpoints.add("elsewhere/k1", Endpoint::new("")).await, ErrorKind::InvalidArgument);
        fails(endpoints.delete(name).await, ErrorKind::InvalidArgument);
        assert!(Endpoints::new(&client, "").is_err());
    })
    .await;
}

/// Services whose names begin alike.
#[tokio::test]
async fn etcd_endpoint_manager() {
    on_every_version(async |client, _| {
        let one = Endpoints::new(&client, "endpoint_alike").unwrap();
        let other = Endpoints::new(&client, "endpoint_alike_other").unwrap();
        one.add("endpoint_alike/a", Endpoint::new("one")).await.unwrap();
        other.add("endpoint_alike_other/a", Endpoint::new("other")).await.unwrap();
        for (endpoints, address) in [(one, "one"), (other, "other")] {
            let listed = endpoints.list().await.unwrap();
            assert_eq!(listed.into_values().collect::<Vec<_>>(), [Endpoint::new(address)]);
        }
    })
    .await;
}

/// Upstream's resolver dies silently with its watch.
#[tokio::test]
async fn updates_survive_lost_connections_and_compactions() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        let endpoints = Endpoints::new(&client, "s").unwrap();
        let mut updates = Endpoints::new(&through, "s").unwrap().watch();
        endpoints.add("s/a", Endpoint::new("a")).await.unwrap();
        assert_eq!(next(&mut updates).await, [add("s/a", "a")]);
        proxy.refuse().await;
        proxy.reset();
        endpoints.delete("s/a").await.unwrap();
        endpoints.add("s/b", Endpoint::new("b")).await.unwrap();
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        proxy.listen_again().await;
        assert_eq!(next(&mut updates).await, [add("s/b", "b"), delete("s/a")]);
    })
    .await;
}
