//! Locks that many readers hold, or one writer.

use etcdkit::concurrency::RwMutex;
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;

use super::{blocked, counted, in_line, session, spawn};
use crate::kv::members::*;

async fn readers_share_and_writers_exclude(name: &str, clients: &[etcdkit::Client]) {
    let client = &clients[0];
    let mut locks = Vec::new();
    for index in 0..3 {
        let session = session(&clients[index % clients.len()]).await;
        locks.push(RwMutex::new(&session, name));
    }
    let (one, two) = (locks[0].read().await.unwrap(), locks[1].read().await.unwrap());
    // A writer waits for both, and a reader that comes after it waits for it.
    let mut writer = Box::pin(locks[2].write());
    blocked("the writer", &mut writer).await;
    counted(client, name, 3).await;
    let late = locks[0].clone();
    let late = spawn(async move { late.read().await });
    counted(client, name, 4).await;
    one.unlock().await.unwrap();
    blocked("the writer", &mut writer).await;
    two.unlock().await.unwrap();
    let writing = in_time("the writer", writer).await.unwrap();
    let mut late = late;
    blocked("the late reader", &mut late).await;
    let token = writing.fencing_token();
    writing.unlock().await.unwrap();
    let reading = in_time("the late reader", late).await.unwrap().unwrap();
    assert!(reading.fencing_token() > token);
    // Another writer that gives up waiting does not hold up those behind it.
    let mut given_up = Box::pin(locks[1].write());
    blocked("a writer", &mut given_up).await;
    drop(given_up);
    in_time("a reader", locks[2].read()).await.unwrap().unlock().await.unwrap();
    reading.unlock().await.unwrap();
    counted(client, name, 0).await;
}

#[tokio::test]
async fn rw_mutex_single_node() {
    on_every_version(async |client, _| {
        readers_share_and_writers_exclude("rw_mutex_single_node", &[client]).await;
    })
    .await;
}

#[tokio::test]
async fn rw_mutex_multi_node() {
    let cluster = Cluster::builder(Version::newest()).start().await;
    let clients =
        [connect(&cluster[0]).await, connect(&cluster[1]).await, connect(&cluster[2]).await];
    readers_share_and_writers_exclude("rw_mutex_multi_node", &clients).await;
}

/// The keys are those of the Go recipe: a number under `read` or `write`, attached to a lease.
#[tokio::test]
async fn keys_are_those_of_the_go_recipe() {
    on_every_version(async |client, _| {
        let name = "keys_of_the_go_recipe";
        let session = session(&client).await;
        let lock = RwMutex::new(&session, name);
        // A reader of the other kind, named after its time.
        let theirs = format!("{name}/read/1700000000000000000");
        let lease = grant(&client).await;
        client.call(etcdkit::Put::new(&theirs, "").lease(lease)).await.unwrap();
        let mut writer = Box::pin(lock.write());
        in_line("the writer", &mut writer, counted(&client, &format!("{name}/write/"), 1)).await;
        blocked("the writer", &mut writer).await;
        client.delete(&theirs).await.unwrap();
        let guard = in_time("the writer", writer).await.unwrap();
        let number = std::str::from_utf8(guard.key()).unwrap().rsplit('/').next().unwrap();
        assert!(number.parse::<i64>().is_ok(), "{number}");
    })
    .await;
}
