//! The conditions of transactions, by target, operator and range.

use etcdkit::{Client, Compare, KeyRange, LeaseId, Put, Revision, Txn};

use super::members::*;

async fn holds(client: &Client, compare: Compare) -> bool {
    client.txn(Txn::new().when([compare])).await.unwrap().succeeded()
}

async fn check(client: &Client, table: impl IntoIterator<Item = (Compare, bool)>) {
    for (compare, expected) in table {
        assert_eq!(holds(client, compare.clone()).await, expected, "{compare:?}");
    }
}

#[tokio::test]
async fn txn_compare_range() {
    on_every_version(async |client, _| {
        let prefix = "txn_compare_range/";
        let foo = client.put(format!("{prefix}foo"), "bar").await.unwrap();
        client.put(format!("{prefix}foo/bar"), "baz").await.unwrap();
        let all = KeyRange::prefix(format!("{prefix}foo"));
        let one = KeyRange::key(format!("{prefix}foo"));
        let created = |range: KeyRange| Compare::create_revision(range).eq(foo.revision());
        assert!(holds(&client, created(one)).await);
        assert!(!holds(&client, created(all)).await);
    })
    .await;
}

/// Every target and operator on a single key, one that exists and one that does not.
#[tokio::test]
async fn txn_compare() {
    on_every_version(async |client, _| {
        let lease = grant(&client).await;
        let other = LeaseId::new(lease.get() + 1).unwrap();
        let key = "txn_compare/k";
        let first = client.call(Put::new(key, "m").lease(lease)).await.unwrap().revision();
        let second = client.call(Put::new(key, "m").keep_lease()).await.unwrap().revision();
        let before = Revision::new(first.get() - 1);
        check(
            &client,
            [
                (Compare::version(key).eq(2), true),
                (Compare::version(key).ne(2), false),
                (Compare::version(key).gt(1), true),
                (Compare::version(key).lt(2), false),
                (Compare::create_revision(key).eq(first), true),
                (Compare::create_revision(key).gt(before), true),
                (Compare::create_revision(key).lt(first), false),
                (Compare::mod_revision(key).eq(second), true),
                (Compare::mod_revision(key).ne(second), false),
                (Compare::mod_revision(key).lt(second.next()), true),
                (Compare::value(key).eq("m"), true),
                (Compare::value(key).ne("m"), false),
                (Compare::value(key).gt("a"), true),
                (Compare::value(key).lt("a"), false),
                (Compare::lease(key).eq(lease), true),
                (Compare::lease(key).ne(lease), false),
                (Compare::lease(key).eq(other), false),
                (Compare::lease(key).lt(other), true),
                (Compare::lease(key).eq(None), false),
                (Compare::exists(key), true),
                (Compare::missing(key), false),
            ],
        )
        .await;
        let none = "txn_compare/none";
        check(
            &client,
            [
                (Compare::version(none).eq(0), true),
                (Compare::create_revision(none).eq(Revision::NONE), true),
                (Compare::mod_revision(none).eq(Revision::NONE), true),
                (Compare::lease(none).eq(None), true),
                (Compare::exists(none), false),
                (Compare::missing(none), true),
                // There is no value to compare with.
                (Compare::value(none).eq(""), false),
                (Compare::value(none).ne("x"), false),
            ],
        )
        .await;
    })
    .await;
}

/// Every target on a range: it holds if it holds for all of its keys.
#[tokio::test]
async fn v3_txn_range_compare() {
    on_every_version(async |client, _| {
        let prefix = "v3_txn_range_compare/";
        let key = |name: &str| format!("{prefix}{name}");
        let lease = grant(&client).await;
        let attached = |name: &str, value: &str| Put::new(key(name), value).lease(lease);
        let first = client.call(attached("a/1", "x")).await.unwrap().revision();
        client.call(attached("a/2", "x")).await.unwrap();
        client.call(attached("a/2", "x")).await.unwrap();
        let last = client.put(key("b/1"), "y").await.unwrap().revision();
        let a = || KeyRange::prefix(key("a/"));
        let both = || KeyRange::range(key("a/"), key("c/"));
        let none = || KeyRange::prefix(key("z/"));
        check(
            &client,
            [
                (Compare::version(a()).gt(0), true),
                (Compare::version(a()).eq(1), false),
                (Compare::version(a()).lt(3), true),
                (Compare::create_revision(a()).lt(last), true),
                (Compare::create_revision(both()).lt(last), false),
                (Compare::create_revision(both()).lt(last.next()), true),
                (Compare::mod_revision(a()).gt(Revision::new(first.get() - 1)), true),
                (Compare::mod_revision(a()).gt(first), false),
                (Compare::value(a()).eq("x"), true),
                (Compare::value(both()).eq("x"), false),
                (Compare::value(both()).ne("z"), true),
                (Compare::lease(a()).eq(lease), true),
                (Compare::lease(both()).eq(lease), false),
                (Compare::lease(KeyRange::prefix(key("b/"))).eq(None), true),
                (Compare::exists(both()), true),
                (Compare::missing(both()), false),
                // A range without keys is decided as a key that does not exist.
                (Compare::version(none()).eq(0), true),
                (Compare::create_revision(none()).eq(Revision::NONE), true),
                (Compare::create_revision(none()).gt(Revision::NONE), false),
                (Compare::lease(none()).eq(None), true),
                (Compare::value(none()).eq(""), false),
                (Compare::exists(none()), false),
                (Compare::missing(none()), true),
            ],
        )
        .await;
    })
    .await;
}
