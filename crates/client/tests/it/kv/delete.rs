//! Deleting keys.

use etcdkit::{Delete, Get, KeyRange};

use super::members::*;

/// `(what is deleted, how many keys that are, what stays)`.
type Row = (Delete, u64, &'static [&'static str]);

const ALL: [&str; 6] = ["a", "b", "c", "c/abc", "d", "e"];

#[tokio::test]
async fn kv_delete_range() {
    on_own_member(async |client, _| {
        let table: [Row; 11] = [
            (Delete::new("a"), 1, &["b", "c", "c/abc", "d", "e"]),
            (Delete::new("z"), 0, &ALL),
            (Delete::range("a", "c"), 2, &["c", "c/abc", "d", "e"]),
            (Delete::prefix("c"), 2, &["a", "b", "d", "e"]),
            (Delete::prefix("c/"), 1, &["a", "b", "c", "d", "e"]),
            (Delete::from_key("c"), 4, &["a", "b"]),
            (Delete::from_key(""), 6, &[]),
            (Delete::prefix(""), 6, &[]),
            (Delete::all(), 6, &[]),
            (Delete::range("c", "c"), 0, &ALL),
            (Delete::new(KeyRange::range("a", "\0")), 6, &[]),
        ];
        for (delete, deleted, left) in table {
            for key in ALL {
                client.put(key, key).await.unwrap();
            }
            let before = revision(&client).await;
            let answer = client.delete(delete.clone()).await.unwrap();
            assert_eq!(answer.deleted(), deleted, "{delete:?}");
            assert!(answer.prev_kvs().is_empty(), "{delete:?}");
            // Whatever is deleted goes at one revision, and deleting nothing makes none.
            let steps = answer.revision().get() - before.get();
            assert_eq!(steps, i64::from(deleted > 0), "{delete:?}");
            let found = client.get(Get::all()).await.unwrap();
            assert_eq!(keys(&found), left, "{delete:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn kv_delete_tells_what_was_there() {
    on_every_version(async |client, _| {
        let prefix = "kv_delete_tells_what_was_there/";
        for key in ["a", "b"] {
            client.put(format!("{prefix}{key}"), key).await.unwrap();
        }
        let gone = client.delete(Delete::prefix(prefix).prev_kv()).await.unwrap();
        let values: Vec<_> = gone.prev_kvs().iter().map(|kv| kv.value()).collect();
        assert_eq!(values, [b"a", b"b"]);
        let gone = client.delete(Delete::prefix(prefix).prev_kv()).await.unwrap();
        assert_eq!((gone.deleted(), gone.prev_kvs().len()), (0, 0));
    })
    .await;
}
