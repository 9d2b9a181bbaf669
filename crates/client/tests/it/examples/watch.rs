//! Watches: what the reference examples print.

use etcdkit::{Streaming, Watch, WatchControl, WatchResponse};

use crate::kv::members::{in_time, on_own_member};

/// The next events, as the examples print them.
async fn lines(stream: &mut Streaming<WatchResponse, WatchControl>, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let response = in_time("a response", stream.next()).await.unwrap().unwrap();
        lines.extend(response.events().iter().map(|event| {
            let kind = if event.is_put() { "PUT" } else { "DELETE" };
            let (key, value) = (event.kv().key_str().unwrap(), event.kv().value_str().unwrap());
            format!("{kind} {key:?} : {value:?}")
        }));
    }
    lines
}

#[tokio::test]
async fn example_watcher_watch() {
    on_own_member(async |client, _| {
        let mut stream = client.watch("foo").await.unwrap();
        client.put("foo", "bar").await.unwrap();
        assert_eq!(lines(&mut stream, 1).await, [r#"PUT "foo" : "bar""#]);
    })
    .await;
}

#[tokio::test]
async fn example_watcher_watch_with_prefix() {
    on_own_member(async |client, _| {
        let mut stream = client.watch(Watch::prefix("foo")).await.unwrap();
        client.put("foo1", "bar").await.unwrap();
        assert_eq!(lines(&mut stream, 1).await, [r#"PUT "foo1" : "bar""#]);
    })
    .await;
}

#[tokio::test]
async fn example_watcher_watch_with_range() {
    on_own_member(async |client, _| {
        let mut stream = client.watch(Watch::range("foo1", "foo4")).await.unwrap();
        for (key, value) in [("foo1", "bar1"), ("foo5", "bar5"), ("foo2", "bar2"), ("foo3", "bar3")]
        {
            client.put(key, value).await.unwrap();
        }
        let expected =
            [r#"PUT "foo1" : "bar1""#, r#"PUT "foo2" : "bar2""#, r#"PUT "foo3" : "bar3""#];
        assert_eq!(lines(&mut stream, 3).await, expected);
    })
    .await;
}

/// Upstream waits ten minutes for it; here the server is asked.
#[tokio::test]
async fn example_watcher_watch_with_progress_notify() {
    on_own_member(async |client, _| {
        let mut stream = client.watch(Watch::new("foo").progress_notify()).await.unwrap();
        client.put("fum", "fiddle").await.unwrap();
        stream.control().request_progress();
        let response = in_time("progress", stream.next()).await.unwrap().unwrap();
        assert_eq!(
            format!("wresp.IsProgressNotify: {}", response.is_progress()),
            "wresp.IsProgressNotify: true"
        );
    })
    .await;
}
