//! Commands that go on until they are told to end, started before there is a cluster.

use std::time::Duration;

use etcdkit::concurrency::SessionOptions;
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;
use tokio::time::timeout;

use super::live::Live;
use super::{address, served, start};

/// Longer than any call of the client lasts by itself.
const LONG: Duration = Duration::from_secs(12);

/// Waits for so long that nothing comes, and fails if it ends.
async fn stays_silent(live: &mut Live) {
    if let Ok(line) = timeout(LONG, live.line()).await {
        panic!("there is no cluster: {line}");
    }
}

#[tokio::test]
async fn commands_wait_for_the_cluster_and_then_work() {
    let ((server, client), (copy, copied)) = (served("a").await, served("b").await);
    client.put("w", "1").await.expect("it takes it");
    let session = client.session(SessionOptions::new()).await.expect("it grants a lease");
    let lease = format!("{:x}", session.lease().get());
    let proxy = Proxy::start(address(&server)).await;
    proxy.refuse().await;
    let (early, folder) = (proxy.addr().to_string(), tempfile::tempdir().expect("a folder"));
    let start = |words: &[&str]| start(&early, folder.path(), words);

    let mut watch = start(&["watch", "w", "--rev=1"]);
    let mut interactive = start(&["watch", "-i"]);
    interactive.feed("watch w --rev=1\n").await;
    let mut lock = start(&["lock", "l"]);
    let mut elect = start(&["elect", "e", "me"]);
    let mut observe = start(&["elect", "-l", "e"]);
    let mut keep_alive = start(&["lease", "keep-alive", &lease]);
    let mut mirror = start(&["make-mirror", &address(&copy), "--prefix=w"]);
    // The other way round: the source is there, and the destination is not.
    copied.put("r", "1").await.expect("it takes it");
    let mut reverse =
        super::start(&address(&copy), folder.path(), &["make-mirror", &early, "--prefix=r"]);
    tokio::join!(
        stays_silent(&mut watch),
        stays_silent(&mut interactive),
        stays_silent(&mut lock),
        stays_silent(&mut elect),
        stays_silent(&mut observe),
        stays_silent(&mut keep_alive),
        stays_silent(&mut mirror),
        stays_silent(&mut reverse),
    );

    proxy.listen_again().await;
    assert_eq!(watch.lines(3).await, ["PUT", "w", "1"]);
    assert_eq!(interactive.lines(3).await, ["PUT", "w", "1"]);
    assert!(lock.line().await.starts_with("l/"));
    assert!(elect.line().await.starts_with("e/"));
    assert!(observe.line().await.starts_with("e/"));
    assert!(keep_alive.line().await.contains("keepalived"));
    for (client, key) in [(&copied, "w"), (&client, "r")] {
        eventually("the copy", Duration::from_secs(60), async || {
            client.get(key).await.expect("it answers").first().map(drop)
        })
        .await;
    }
    assert_eq!(lock.interrupt().await.code, Some(0));
    assert_eq!(elect.interrupt().await.code, Some(0));
}
