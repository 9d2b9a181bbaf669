//! The two documented examples of Go's client, run.

use etcdkit_v2::{Action, Delete, Get};

use crate::etcd::start;

#[path = "../../examples/directory.rs"]
#[expect(dead_code, reason = "its `main` is the example's")]
mod directory;
#[path = "../../examples/setget.rs"]
#[expect(dead_code, reason = "its `main` is the example's")]
mod setget;

#[tokio::test]
async fn example_keys_api_directory() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    directory::run(&keys).await.unwrap();
    let left = keys.get(Get::new("/").recursive()).await.unwrap();
    assert!(left.node().unwrap().nodes().is_empty());
}

#[tokio::test]
async fn example_keys_api_setget() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    setget::run(&keys).await.unwrap();
    let deleted = keys.delete(Delete::new("/foo")).await.unwrap();
    assert_eq!(deleted.action(), &Action::Delete);
}
