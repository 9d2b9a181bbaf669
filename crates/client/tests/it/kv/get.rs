//! Reading keys.

use etcdkit::{
    Client, Get, GetResponse, KeyRange, KeyValue, ResponseHeader, ServerError, SortOrder,
    SortTarget,
};

use super::members::*;

/// The keys of etcd's own test, at revisions 2 to 9: `c` is written three times.
async fn fill(client: &Client) -> ResponseHeader {
    let mut header = ResponseHeader::default();
    for (index, key) in ["a", "b", "c", "c", "c", "foo", "foo/abc", "fop"].iter().enumerate() {
        let put = client.put(*key, "").await.unwrap();
        header = put.header();
        assert_eq!(header.revision.get(), index as i64 + 2, "a member of its own");
    }
    header
}

fn kv(key: &str, create: i64, modified: i64, version: i64) -> KeyValue {
    KeyValue::new(key, "").with_revisions(create, modified).with_version(version)
}

/// The keys as they are at revision 9.
fn all() -> [KeyValue; 6] {
    [
        kv("a", 2, 2, 1),
        kv("b", 3, 3, 1),
        kv("c", 4, 6, 3),
        kv("foo", 7, 7, 1),
        kv("foo/abc", 8, 8, 1),
        kv("fop", 9, 9, 1),
    ]
}

#[tokio::test]
async fn kv_range() {
    use SortOrder::{Ascend, Descend};
    on_own_member(async |client, _| {
        let header = fill(&client).await;
        let [a, b, c, foo, foo_abc, fop] = all();
        let c4 = kv("c", 4, 4, 1);
        let range = || Get::range("a", "x");
        let table: Vec<(Get, Vec<&KeyValue>)> = vec![
            (Get::range("a", "c"), vec![&a, &b]),
            (Get::range("a", "c").serializable(), vec![&a, &b]),
            (Get::new("a"), vec![&a]),
            (Get::new("d"), vec![]),
            (Get::range("b", "a"), vec![]),
            // The past.
            (range().at_revision(2), vec![&a]),
            (range().at_revision(4), vec![&a, &b, &c4]),
            (Get::new("c").at_revision(4), vec![&c4]),
            (range().at_revision(9), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            // Each target, both ways.
            (range().sort(SortTarget::Key, Ascend), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            (range().sort(SortTarget::Key, Descend), vec![&fop, &foo_abc, &foo, &c, &b, &a]),
            (
                range().sort(SortTarget::CreateRevision, Ascend),
                vec![&a, &b, &c, &foo, &foo_abc, &fop],
            ),
            (
                range().sort(SortTarget::CreateRevision, Descend),
                vec![&fop, &foo_abc, &foo, &c, &b, &a],
            ),
            (range().sort(SortTarget::ModRevision, Ascend), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            (
                range().sort(SortTarget::ModRevision, Descend),
                vec![&fop, &foo_abc, &foo, &c, &b, &a],
            ),
            (Get::new("c").sort(SortTarget::Version, Ascend), vec![&c]),
            // Prefixes and what follows.
            (Get::prefix("foo"), vec![&foo, &foo_abc]),
            (Get::prefix("fo"), vec![&foo, &foo_abc, &fop]),
            (Get::prefix("zoo"), vec![]),
            (Get::prefix(""), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            (Get::from_key("fo"), vec![&foo, &foo_abc, &fop]),
            (Get::from_key("fop"), vec![&fop]),
            (Get::from_key(""), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            (Get::all(), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            (Get::range("a", "\0"), vec![&a, &b, &c, &foo, &foo_abc, &fop]),
            (Get::range("", "c"), vec![&a, &b]),
            // The first and the last.
            (Get::first_key("fo"), vec![&foo]),
            (Get::last_key("fo"), vec![&fop]),
            (Get::first_revision(""), vec![&a]),
            (Get::last_revision(""), vec![&fop]),
            (Get::first_create(""), vec![&a]),
            (Get::last_create(""), vec![&fop]),
            // By revision.
            (range().min_mod_revision(6), vec![&c, &foo, &foo_abc, &fop]),
            (range().max_mod_revision(6), vec![&a, &b, &c]),
            (range().min_create_revision(4).max_create_revision(7), vec![&c, &foo]),
            (range().min_mod_revision(3).max_mod_revision(7).limit(2), vec![&b, &c]),
        ];
        for (get, expected) in table {
            let answer = client.get(get.clone()).await.unwrap();
            let found: Vec<&KeyValue> = answer.kvs().iter().collect();
            assert_eq!(found, expected, "{get:?}");
            assert_eq!(answer.header(), header, "{get:?}");
        }
        let by_version = client.get(range().sort(SortTarget::Version, Descend)).await.unwrap();
        assert_eq!(by_version.first(), Some(&c));
        client.put("a", "z").await.unwrap();
        let by_value = client.get(range().sort(SortTarget::Value, Descend)).await.unwrap();
        assert_eq!(by_value.first().unwrap().key(), b"a");
    })
    .await;
}

/// `(read, keys, count, more)`.
type Row = (Get, &'static [&'static str], u64, bool);

#[tokio::test]
async fn kv_get() {
    const ALL: &[&str] = &["a", "b", "c", "foo", "foo/abc", "fop"];
    on_own_member(async |client, _| {
        fill(&client).await;
        let table: [Row; 16] = [
            (Get::new("a"), &["a"], 1, false),
            (Get::new("a").serializable(), &["a"], 1, false),
            (Get::all(), ALL, 6, false),
            (Get::all().serializable(), ALL, 6, false),
            (Get::all().at_revision(4), &["a", "b", "c"], 3, false),
            (Get::all().count_only(), &[], 6, false),
            (Get::all().limit(2), &["a", "b"], 6, true),
            (Get::all().limit(6), ALL, 6, false),
            (Get::all().limit(0), ALL, 6, false),
            (Get::prefix("foo"), &["foo", "foo/abc"], 2, false),
            (Get::prefix("foo").limit(1), &["foo"], 2, true),
            (Get::from_key("fop"), &["fop"], 1, false),
            (Get::range("a", "c"), &["a", "b"], 2, false),
            (
                Get::all().sort(SortTarget::ModRevision, SortOrder::Descend).limit(3),
                &["fop", "foo/abc", "foo"],
                6,
                true,
            ),
            // What is filtered out is counted, and is not what `more` means.
            (Get::all().min_create_revision(7), &["foo", "foo/abc", "fop"], 6, false),
            (Get::prefix("zoo"), &[], 0, false),
        ];
        for (get, expected, count, more) in table {
            let answer = client.get(get.clone()).await.unwrap();
            assert_eq!(keys(&answer), expected, "{get:?}");
            assert_eq!((answer.count(), answer.more()), (count, more), "{get:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn kv_get_keys_only_with_count_only() {
    on_every_version(async |client, _| {
        let prefix = "kv_get_keys_only_with_count_only/";
        for key in ["a", "b"] {
            client.put(format!("{prefix}{key}"), "value").await.unwrap();
        }
        let keys_only = client.get(Get::prefix(prefix).keys_only()).await.unwrap();
        assert_eq!((keys_only.kvs().len(), keys_only.count()), (2, 2));
        assert!(keys_only.kvs().iter().all(|kv| kv.value().is_empty() && kv.version() == 1));
        // Counting wins.
        let both = client.get(Get::prefix(prefix).keys_only().count_only()).await.unwrap();
        assert!(both.is_empty());
        assert_eq!((both.count(), both.more()), (2, false));
        assert_eq!(both.header().cluster_id, keys_only.header().cluster_id);
        assert!(both.revision() >= keys_only.revision());
    })
    .await;
}

#[tokio::test]
async fn v3_range_request_errors() {
    on_own_member(async |client, _| {
        fill(&client).await;
        refused(client.get(Get::all().at_revision(100)).await, ServerError::FutureRevision);
        client.compact(etcdkit::Revision::new(5)).await.unwrap();
        refused(client.get(Get::all().at_revision(4)).await, ServerError::Compacted);
        let old = client.get(Get::all().at_revision(5)).await.unwrap();
        assert_eq!(keys(&old), ["a", "b", "c"]);
    })
    .await;
}

/// An empty prefix and an empty start mean everything, for reads and deletes.
#[tokio::test]
async fn kv_with_empty_value() {
    on_own_member(async |client, _| {
        for key in ["my-namespace/foobar", "my-namespace/foobar1", "namespace/foobar1"] {
            client.put(key, "data").await.unwrap();
        }
        for get in [Get::from_key(""), Get::prefix(""), Get::all()] {
            let answer: GetResponse = client.get(get.clone()).await.unwrap();
            assert_eq!(answer.kvs().len(), 3, "{get:?}");
        }
        let gone = client.delete(KeyRange::prefix("my-namespace/")).await.unwrap();
        assert_eq!(gone.deleted(), 2);
        assert_eq!(client.delete(KeyRange::from_key("")).await.unwrap().deleted(), 1);
        assert_eq!(client.get(Get::all()).await.unwrap().count(), 0);
    })
    .await;
}
