//! Keys: put, get, delete, compact, transactions, and lists of operations.

use etcdkit::{
    Client, Compare, Delete, ErrorKind, Get, GetResponse, Op, Put, ServerError, SortOrder,
    SortTarget, Txn,
};

use crate::kv::members::{collect, on_own_member};

/// What the examples print of an answer.
fn lines(answer: &GetResponse) -> Vec<String> {
    let line =
        |kv: &etcdkit::KeyValue| format!("{} : {}", kv.key_str().unwrap(), kv.value_str().unwrap());
    answer.kvs().iter().map(line).collect()
}

async fn put_three(client: &Client) {
    for number in 0..3 {
        client.put(format!("key_{number}"), "value").await.unwrap();
    }
}

#[tokio::test]
async fn example_kv_put() {
    on_own_member(async |client, _| {
        client.put("sample_key", "sample_value").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn example_kv_put_error_handling() {
    on_own_member(async |client, _| {
        let error = client.put("", "sample_value").await.unwrap_err();
        let printed = match error.kind() {
            ErrorKind::Timeout | ErrorKind::Cancelled => format!("no answer: {error}"),
            ErrorKind::InvalidArgument => {
                format!("client-side error: {}", ServerError::EmptyKey.message())
            }
            _ => format!("bad cluster endpoints, which are not etcd servers: {error}"),
        };
        assert_eq!(printed, "client-side error: etcdserver: key is not provided");
    })
    .await;
}

#[tokio::test]
async fn example_kv_get() {
    on_own_member(async |client, _| {
        client.put("foo", "bar").await.unwrap();
        assert_eq!(lines(&client.get("foo").await.unwrap()), ["foo : bar"]);
    })
    .await;
}

#[tokio::test]
async fn example_kv_get_with_rev() {
    on_own_member(async |client, _| {
        let first = client.put("foo", "bar1").await.unwrap();
        client.put("foo", "bar2").await.unwrap();
        let answer = client.get(Get::new("foo").at_revision(first.revision())).await.unwrap();
        assert_eq!(lines(&answer), ["foo : bar1"]);
    })
    .await;
}

#[tokio::test]
async fn example_kv_get_sorted_prefix() {
    on_own_member(async |client, _| {
        put_three(&client).await;
        let sorted = Get::prefix("key").sort(SortTarget::Key, SortOrder::Descend);
        let answer = client.get(sorted).await.unwrap();
        assert_eq!(lines(&answer), ["key_2 : value", "key_1 : value", "key_0 : value"]);
    })
    .await;
}

#[tokio::test]
async fn example_kv_get_stream() {
    on_own_member(async |client, _| {
        put_three(&client).await;
        let mut printed = Vec::new();
        let mut pieces = client.get_stream(Get::prefix("key")).await.unwrap();
        while let Some(piece) = pieces.next().await {
            printed.extend(lines(&piece.unwrap()));
        }
        assert_eq!(printed, ["key_0 : value", "key_1 : value", "key_2 : value"]);
    })
    .await;
}

#[tokio::test]
async fn example_kv_get_stream_to_get_response() {
    on_own_member(async |client, _| {
        put_three(&client).await;
        let pieces = client.get_stream(Get::prefix("key")).await.unwrap();
        let (answer, _) = collect(pieces).await.unwrap();
        assert_eq!(lines(&answer), ["key_0 : value", "key_1 : value", "key_2 : value"]);
        assert_eq!(answer.count(), 3);
        assert!(!answer.more());
    })
    .await;
}

#[tokio::test]
async fn example_kv_delete() {
    on_own_member(async |client, _| {
        put_three(&client).await;
        let count = client.get(Get::prefix("key")).await.unwrap().kvs().len() as u64;
        let deleted = client.delete(Delete::prefix("key")).await.unwrap().deleted();
        assert_eq!(format!("Deleted all keys: {}", count == deleted), "Deleted all keys: true");
    })
    .await;
}

#[tokio::test]
async fn example_kv_compact() {
    on_own_member(async |client, _| {
        client.put("foo", "bar").await.unwrap();
        let now = client.get("foo").await.unwrap().revision();
        client.compact(now).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn example_kv_txn() {
    on_own_member(async |client, _| {
        client.put("key", "xyz").await.unwrap();
        // Values are compared by their bytes.
        let txn = Txn::new()
            .when([Compare::value("key").gt("abc")])
            .then([Put::new("key", "XYZ")])
            .or_else([Put::new("key", "ABC")]);
        client.txn(txn).await.unwrap();
        assert_eq!(lines(&client.get("key").await.unwrap()), ["key : XYZ"]);
    })
    .await;
}

#[tokio::test]
async fn example_kv_do() {
    on_own_member(async |client, _| {
        let put = |value: &str| Op::from(Put::new("put-key", value));
        for op in [put("123"), Get::new("put-key").into(), put("456")] {
            client.call(op).await.unwrap();
        }
        assert_eq!(lines(&client.get("put-key").await.unwrap()), ["put-key : 456"]);
    })
    .await;
}

/// `ExampleKeyMissing` and `ExampleKeyExists` of clientv3util.
#[tokio::test]
async fn example_key_missing_and_exists() {
    on_own_member(async |client, _| {
        let create = Txn::new().when([Compare::missing("purpleidea")]);
        let create = create.then([Put::new("purpleidea", "hello world")]);
        assert!(client.txn(create).await.unwrap().succeeded());
        let remove = Txn::new().when([Compare::exists("purpleidea")]);
        let remove = remove.then([Delete::new("purpleidea")]);
        assert!(client.txn(remove.clone()).await.unwrap().succeeded());
        assert!(!client.txn(remove).await.unwrap().succeeded());
    })
    .await;
}

/// `clientv3util`: ExampleKeyExists and ExampleKeyMissing.
#[tokio::test]
async fn example_key_exists_and_key_missing() {
    on_own_member(async |client, _| {
        let create = || {
            Txn::new()
                .when([Compare::missing("purpleidea")])
                .then([Put::new("purpleidea", "hello world")])
        };
        assert!(client.txn(create()).await.unwrap().succeeded());
        assert!(!client.txn(create()).await.unwrap().succeeded());
        let delete =
            Txn::new().when([Compare::exists("purpleidea")]).then([Delete::new("purpleidea")]);
        assert!(client.txn(delete.clone()).await.unwrap().succeeded());
        assert!(!client.txn(delete).await.unwrap().succeeded());
    })
    .await;
}
