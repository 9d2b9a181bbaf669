//! Reads in pieces: as a stream of the server's (3.7) or in pages (before), and as one answer.

use etcdkit::{
    Client, Delete, ErrorKind, Get, GetResponse, Op, Put, Revision, SortOrder, SortTarget, Txn,
};
use etcdkit_testkit::etcd::Version;

use super::members::*;

/// Writes `count` keys with values of `size` bytes: more than one page or chunk, so that there are several pieces.
async fn fill(client: &Client, prefix: &str, count: usize, size: usize) -> Revision {
    let numbers: Vec<usize> = (0..count).collect();
    let per_txn = (1_000_000 / (size + 100)).clamp(1, 100);
    let mut revision = Revision::NONE;
    for chunk in numbers.chunks(per_txn) {
        let put = |number: &usize| Put::new(format!("{prefix}{number:05}"), vec![b'v'; size]);
        let done = client.txn(Txn::new().then(chunk.iter().map(put))).await.unwrap();
        revision = done.revision();
    }
    revision
}

fn same(piecewise: &GetResponse, whole: &GetResponse, get: &Get) {
    assert_eq!(piecewise.kvs().len(), whole.kvs().len(), "{get:?}");
    assert!(piecewise.kvs() == whole.kvs(), "{get:?}: other keys");
    assert_eq!((piecewise.count(), piecewise.more()), (whole.count(), whole.more()), "{get:?}");
}

#[tokio::test]
async fn kv_get_stream() {
    on_own_member(async |client, _| {
        let old = fill(&client, "k/", 30, 10).await;
        let now = fill(&client, "k/", 2500, 10).await;
        client.put("l", "1").await.unwrap();
        let key = "k/00007";
        let table = [
            Get::new(key),
            Get::new("none"),
            Get::all(),
            Get::all().serializable(),
            Get::prefix("k/"),
            Get::prefix("k/").keys_only(),
            Get::prefix("k/").at_revision(old),
            Get::prefix("k/").at_revision(now),
            Get::prefix("k/").limit(1),
            Get::prefix("k/").limit(1000),
            Get::prefix("k/").limit(1001),
            Get::prefix("k/").limit(2500),
            Get::prefix("k/").limit(9999),
            Get::from_key("k/01000"),
            Get::from_key("k/01000").limit(1200),
            Get::range("k/00100", "k/02300"),
            Get::range("b", "a"),
            Get::prefix("k/").count_only(),
            Get::prefix("k/").count_only().keys_only(),
            // What neither stream nor pages can have is read at once.
            Get::prefix("k/").sort(SortTarget::Key, SortOrder::Descend).limit(20),
            Get::prefix("k/").sort(SortTarget::Key, SortOrder::Ascend).limit(20),
            Get::prefix("k/").sort(SortTarget::ModRevision, SortOrder::Ascend).limit(20),
            Get::prefix("k/").min_mod_revision(now).limit(20),
            Get::last_key("k/"),
        ];
        for get in table {
            let whole = client.get(get.clone()).await.unwrap();
            let stream = client.get_stream(get.clone()).await.unwrap();
            let (streamed, pieces) = collect(stream).await.unwrap();
            same(&streamed, &whole, &get);
            assert_eq!(streamed.revision(), whole.revision(), "{get:?}");
            if get.is_count_only() {
                assert_eq!(pieces, 1, "{get:?}");
            }
            let paged = client.get_all(get.clone()).await.unwrap();
            same(&paged, &whole, &get);
            assert_eq!(paged.revision(), whole.revision(), "{get:?}");
        }
        let error = client.get_stream("").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    })
    .await;
}

/// Keys and their values are all there, in several pieces, count and `more` with the last.
#[tokio::test]
async fn v3_range_stream_count() {
    on_every_version(async |client, _| {
        let prefix = "v3_range_stream_count/";
        fill(&client, prefix, 2500, 0).await;
        let mut stream = client.get_stream(Get::prefix(prefix).limit(2100)).await.unwrap();
        let mut pieces: Vec<GetResponse> = Vec::new();
        while let Some(piece) = stream.next().await {
            pieces.push(piece.unwrap());
        }
        let last = pieces.pop().unwrap();
        assert_eq!((last.count(), last.more()), (2500, true));
        assert!(pieces.len() >= 2, "{} pieces", pieces.len());
        assert!(pieces.iter().all(|piece| piece.count() == 0 && !piece.more()));
        let read: usize = pieces.iter().map(|piece| piece.kvs().len()).sum();
        assert_eq!(read + last.kvs().len(), 2100);
        assert!(stream.next().await.is_none());
    })
    .await;
}

/// What is written between two pieces is not seen.
#[tokio::test]
async fn v3_range_stream_write_between_chunks() {
    on_every_version(async |client, _| {
        let prefix = "v3_range_stream_write_between/";
        let now = fill(&client, prefix, 2500, 10).await;
        let whole = client.get(Get::prefix(prefix).at_revision(now)).await.unwrap();
        let changes: [Op; 3] = [
            Put::new(format!("{prefix}02499"), "changed").into(),
            Put::new(format!("{prefix}02499x"), "new").into(),
            Delete::new(format!("{prefix}02400")).into(),
        ];
        let get = Get::prefix(prefix);
        let mut stream = client.get_stream(get.clone()).await.unwrap();
        let mut all = stream.next().await.unwrap().unwrap();
        assert!(all.kvs().len() < 2400, "the first piece holds it all");
        client.txn(Txn::new().then(changes)).await.unwrap();
        let (rest, _) = collect(stream).await.unwrap();
        all.append(rest);
        same(&all, &whole, &get);
    })
    .await;
}

/// A compaction overtakes the read: what came before it is good, and then the stream says why it ends.
#[tokio::test]
async fn v3_range_stream_partial_then_compacted() {
    on_own_member_with(
        |etcd| etcd.quota_backend_bytes(512 * 1024 * 1024),
        async |client, etcd| {
            let streams = etcd.version().at_least(3, 7);
            // A server that streams runs ahead of the reader by what the window and the queues hold.
            let (count, size) = if streams { (160, 1024 * 1024) } else { (2500, 10) };
            fill(&client, "k/", count, size).await;
            let mut stream = client.get_stream(Get::prefix("k/")).await.unwrap();
            let first = stream.next().await.unwrap().unwrap();
            assert!(!first.is_empty() && first.kvs().len() < count);
            let now = client.put("k/00000", "x").await.unwrap().revision();
            client.compact(now).await.unwrap();
            let mut read = first.kvs().len();
            let error = loop {
                match stream.next().await {
                    Some(Ok(piece)) => read += piece.kvs().len(),
                    Some(Err(error)) => break error,
                    None => panic!("all {read} of {count} keys came in spite of the compaction"),
                }
            };
            assert_eq!(error.kind(), ErrorKind::Compacted, "{error}");
            assert!(read < count);
            assert!(stream.next().await.is_none(), "an error is the last item");
        },
    )
    .await;
}

#[tokio::test]
async fn v3_range_stream_large_values() {
    on_every_version(async |client, _| {
        let prefix = "v3_range_stream_large_values/";
        fill(&client, prefix, 24, 1024 * 1024).await;
        let get = Get::prefix(prefix);
        let whole = client.get(get.clone()).await.unwrap();
        let (streamed, _) = collect(client.get_stream(get.clone()).await.unwrap()).await.unwrap();
        same(&streamed, &whole, &get);
        let paged = client.get_all(get.clone()).await.unwrap();
        same(&paged, &whole, &get);
        client.delete(Delete::prefix(prefix)).await.unwrap();
    })
    .await;
}

/// A stream that is not read to its end holds nothing up.
#[tokio::test]
async fn a_stream_that_is_dropped_early() {
    let version = Version::newest();
    let _named = Named::new(version);
    let client = connect(shared(version).await).await;
    let prefix = "a_stream_that_is_dropped_early/";
    fill(&client, prefix, 24, 1024 * 1024).await;
    for _ in 0..10 {
        let mut stream = client.get_stream(Get::prefix(prefix)).await.unwrap();
        stream.next().await.unwrap().unwrap();
    }
    in_time("a get", client.get("foo")).await.unwrap();
    client.delete(Delete::prefix(prefix)).await.unwrap();
}
