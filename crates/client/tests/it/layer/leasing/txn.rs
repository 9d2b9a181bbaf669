//! Transactions that are answered from memory, and those that are not.

use etcdkit::service::Service;
use etcdkit::{
    Client, Compare, Delete, Get, KeyRange, Op, OpResponse, Put, SortOrder, SortTarget, Txn,
    TxnResponse,
};
use tokio::task::JoinSet;

use super::{cost, leasing, read};
use crate::kv::members::*;

/// An answer without what is only of the moment: the keys that were read, along the way that it went.
fn shown(answer: &TxnResponse) -> String {
    let ops = answer.responses().iter().map(|op| match op {
        OpResponse::Get(get) => format!("{:?} of {}", get.kvs(), get.count()),
        OpResponse::Txn(inner) => shown(inner),
        other => format!("{other:?}"),
    });
    format!("{} {:?}", answer.succeeded(), ops.collect::<Vec<_>>())
}

/// Owns each of these keys, which are put first if they have a value.
async fn own<S: Service>(client: &Client<S>, keys: &[(String, Option<String>)]) {
    for (key, value) in keys {
        if let Some(value) = value {
            client.put(&**key, &**value).await.unwrap();
        }
        assert_eq!(read(client, key).await, *value);
    }
}

/// Also TestLeasingGetWithOpts: whatever a read of one key asks for, it is answered as the server would.
#[tokio::test]
async fn leasing_txn_owner_get() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_owner_get";
        let (owner, calls) = leasing(&client, &format!("{name}/")).await;
        let keys: Vec<_> =
            (0..6).map(|n| (format!("{name}-{n}"), (n > 0).then(|| n.to_string()))).collect();
        own(&owner, &keys).await;
        let middle = client.get(&*keys[3].0).await.unwrap().first().unwrap().mod_revision();
        let reads = |key: &str| {
            [
                Get::new(key),
                Get::new(key).keys_only(),
                Get::new(key).count_only(),
                Get::new(key).limit(1).serializable(),
                Get::new(key).sort(SortTarget::ModRevision, SortOrder::Descend),
                Get::new(key).min_mod_revision(middle).max_create_revision(middle.next()),
                Get::new(key).max_mod_revision(middle).min_create_revision(middle),
            ]
        };
        for (key, _) in &keys {
            for get in reads(key) {
                let (cached, cost) = cost(&calls, owner.get(get.clone())).await;
                let (cached, direct) = (cached.unwrap(), client.get(get.clone()).await.unwrap());
                assert_eq!(cost, 0, "{get:?}");
                let of = |answer: &etcdkit::GetResponse| (answer.kvs().to_vec(), answer.count());
                assert_eq!(of(&cached), of(&direct), "{get:?}");
            }
        }
        let inner = |from: usize| {
            Txn::new().then(keys[from..].iter().flat_map(|(key, _)| reads(key)).map(Op::from))
        };
        for txn in
            [inner(0), inner(4).then([inner(2)]), Txn::new().then([inner(3).then([inner(5)])])]
        {
            let (cached, cost) = cost(&calls, owner.txn(txn.clone())).await;
            let (cached, direct) = (cached.unwrap(), client.txn(txn.clone()).await.unwrap());
            assert_eq!((shown(&cached), cost), (shown(&direct), 0), "{txn:?}");
            assert!(cached.revision() <= direct.revision());
        }
    })
    .await;
}

/// TestLeasingTxnOwnerGetRange, TestLeasingTxnRangeCmp: what is about more than owned keys, the server decides.
#[tokio::test]
async fn leasing_txn_range_cmp() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_range_cmp";
        let (owner, calls) = leasing(&client, &format!("{name}/")).await;
        let keys: Vec<_> = (0..3).map(|n| (format!("{name}-{n}"), Some("1".to_owned()))).collect();
        own(&owner, &keys).await;
        client.put(format!("{name}-x"), "2").await.unwrap();
        let range = || KeyRange::prefix(format!("{name}-"));
        let txns = [
            (Txn::new().then([Get::new(range())]), true),
            (
                Txn::new().when([Compare::value(range()).eq("1")]).or_else([Get::new(range())]),
                false,
            ),
            (Txn::new().when([Compare::missing(format!("{name}-x"))]), false),
            (Txn::new().then([Get::new(&*keys[0].0).at_revision(revision(&client).await)]), true),
        ];
        for (txn, succeeds) in txns {
            let (cached, cost) = cost(&calls, owner.txn(txn.clone())).await;
            let (cached, direct) = (cached.unwrap(), client.txn(txn.clone()).await.unwrap());
            assert_eq!((shown(&cached), cost), (shown(&direct), 1), "{txn:?}");
            assert_eq!(cached.succeeded(), succeeds, "{txn:?}");
        }
    })
    .await;
}

/// Upstream takes every condition on an absent key for "equal", and every one on a lease.
#[tokio::test]
async fn leasing_txn_owner_if() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_owner_if";
        let (owner, calls) = leasing(&client, &format!("{name}/")).await;
        let (there, absent) = (format!("{name}-there"), format!("{name}-absent"));
        own(&owner, &[(there.clone(), Some("abc".to_owned())), (absent.clone(), None)]).await;
        let put = owner.put(&*there, "def").await.unwrap().revision();
        let first = client.get(&*there).await.unwrap().first().unwrap().create_revision();
        let mut conditions = Vec::new();
        for key in [&*there, &*absent] {
            let numbers = [0, 1, 2, 3, first.get() - 1, first.get(), put.get(), put.get() + 1];
            for number in numbers {
                conditions.extend([
                    Compare::version(key).eq(number),
                    Compare::version(key).ne(number),
                    Compare::create_revision(key).gt(number),
                    Compare::create_revision(key).eq(number),
                    Compare::mod_revision(key).lt(number),
                    Compare::mod_revision(key).eq(number),
                    Compare::lease(key).eq(etcdkit::LeaseId::new(number)),
                    Compare::lease(key).lt(etcdkit::LeaseId::new(number)),
                ]);
            }
            for value in ["", "abc", "def", "defg", "xyz"] {
                conditions.extend([
                    Compare::value(key).eq(value),
                    Compare::value(key).ne(value),
                    Compare::value(key).gt(value),
                    Compare::value(key).lt(value),
                ]);
            }
        }
        for condition in conditions {
            // What would be written on the other way does not matter.
            let expected =
                client.txn(Txn::new().when([condition.clone()])).await.unwrap().succeeded();
            let txn = Txn::new().when([Compare::exists(&*there), condition.clone()]);
            let txn = match expected {
                true => txn.then([Get::new(&*there)]).or_else([Delete::new(&*there)]),
                false => txn.then([Delete::new(&*there)]).or_else([Get::new(&*there)]),
            };
            let (answer, cost) = cost(&calls, owner.txn(txn)).await;
            let answer = answer.unwrap();
            assert_eq!((answer.succeeded(), cost), (expected, 0), "{condition:?}");
            let kv = answer.responses()[0].as_get().unwrap().first().unwrap();
            assert_eq!((kv.value(), kv.mod_revision()), (&b"def"[..], put), "{condition:?}");
        }
    })
    .await;
}

/// TestLeasingTxnOwnerDelete, TestLeasingTxnOwnerDeleteRange.
#[tokio::test]
async fn leasing_txn_owner_delete() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_owner_delete";
        let (owner, _) = leasing(&client, &format!("{name}/")).await;
        let keys: Vec<_> = (0..4).map(|n| (format!("{name}-{n}"), Some("1".to_owned()))).collect();
        own(&owner, &keys).await;
        let answer = owner.txn(Txn::new().then([Delete::new(&*keys[0].0)])).await.unwrap();
        assert_eq!(answer.responses()[0].as_delete().unwrap().deleted(), 1);
        assert_eq!(read(&owner, &keys[0].0).await, None);
        let range = Delete::prefix(format!("{name}-")).prev_kv();
        let inner = Txn::new().then([Txn::new().then([range])]);
        let answer = owner.txn(inner).await.unwrap();
        let inner = answer.responses()[0].as_txn().unwrap();
        assert_eq!(inner.responses()[0].as_delete().unwrap().deleted(), 3);
        for (key, _) in &keys {
            assert_eq!(read(&owner, key).await, None);
        }
    })
    .await;
}

/// A tree of transactions that put: what is owned stays so, and is what the server has.
#[tokio::test]
async fn leasing_txn_owner_put_branch() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_owner_put_branch";
        let (owner, calls) = leasing(&client, &format!("{name}/")).await;
        let keys: Vec<_> = (0..8).map(|n| (format!("{name}-{n}"), Some("1".to_owned()))).collect();
        own(&owner, &keys).await;
        fn tree(keys: &[(String, Option<String>)], depth: usize) -> Txn {
            let put = |key: &str| Put::new(key, format!("depth {depth}"));
            match keys {
                [(key, _)] => Txn::new().then([put(key)]),
                _ => {
                    let (left, right) = keys.split_at(keys.len() / 2);
                    let left = tree(left, depth + 1);
                    let (key, right) = (&right[0].0, &right[1..]);
                    let right = (!right.is_empty()).then(|| tree(right, depth + 1));
                    Txn::new().then([put(key)]).then([left]).then(right)
                }
            }
        }
        let answer = owner.txn(tree(&keys, 0)).await.unwrap();
        for (key, _) in &keys {
            let (cached, cost) = cost(&calls, owner.get(&**key)).await;
            let direct = client.get(&**key).await.unwrap();
            assert_eq!((cached.unwrap().kvs(), cost), (direct.kvs(), 0));
            assert_eq!(direct.first().unwrap().mod_revision(), answer.revision());
        }
    })
    .await;
}

/// Conditions and ways at random, by two clients in turn: each answer is what the server would have said.
#[tokio::test]
async fn leasing_txn_rand_if_then_or_else() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_rand";
        let (one, _) = leasing(&client, &format!("{name}/")).await;
        let (two, _) = leasing(&client, &format!("{name}/")).await;
        let keys: Vec<String> = (0..4).map(|n| format!("{name}-{n}")).collect();
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..120 {
            let mut key = || keys[random.usize(..keys.len())].clone();
            let (seen, compared, put, gone) = (key(), key(), key(), key());
            let now = client.get(&*compared).await.unwrap().into_first();
            let version = now.map_or(0, |kv| kv.version());
            let writes = random.u8(..4);
            let condition = match random.u8(..3) {
                0 => Compare::version(&*compared).eq(version),
                1 => Compare::version(&*compared).gt(version),
                _ => Compare::value(&*compared).eq(format!("{}", round - 1)),
            };
            let expected = client.txn(Txn::new().when([condition.clone()])).await.unwrap();
            let reads = Txn::new().then(keys.iter().map(|key| Get::new(&**key)));
            let direct = client.txn(reads.clone()).await.unwrap();
            let txn = Txn::new().when([condition]).then([reads.clone()]).or_else([reads]);
            let txn = match writes {
                0 => txn.then([Put::new(&*put, format!("{round}"))]),
                1 => txn.or_else([Delete::new(&*gone)]),
                _ => txn,
            };
            let by = if random.bool() { &one } else { &two };
            if random.bool() {
                read(by, &seen).await;
            }
            let answer = in_time("a transaction", by.txn(txn.clone())).await.unwrap();
            assert_eq!(answer.succeeded(), expected.succeeded(), "round {round}: {txn:?}");
            let inner = answer.responses()[0].as_txn().unwrap();
            assert_eq!(shown(inner), shown(&direct), "round {round}: {txn:?}");
            let direct = client.get(&*seen).await.unwrap();
            for by in [&one, &two] {
                assert_eq!(by.get(&*seen).await.unwrap().kvs(), direct.kvs(), "round {round}");
            }
        }
    })
    .await;
}

/// Sixteen keys that are always written together are never read half written.
#[tokio::test]
async fn leasing_txn_atomic_cache() {
    on_every_version(async |client, _| {
        let name = "leasing_txn_atomic";
        let (owner, calls) = leasing(&client, &format!("{name}/")).await;
        let (other, _) = leasing(&client, &format!("{name}/")).await;
        let keys: Vec<_> = (0..16).map(|n| (format!("{name}-{n}"), Some("0".to_owned()))).collect();
        own(&owner, &keys).await;
        let reads = Txn::new().then(keys.iter().map(|(key, _)| Get::new(&**key)));
        let mut readers = JoinSet::new();
        for client in [&owner, &owner, &other] {
            let (client, reads) = (client.clone(), reads.clone());
            readers.spawn(async move {
                let mut last = 0;
                while last < 40 {
                    let answer = client.txn(reads.clone()).await.unwrap();
                    let values = answer.into_responses().into_iter().map(|op| {
                        let kv = op.into_get().unwrap().into_first().unwrap();
                        kv.value_str().unwrap().parse::<usize>().unwrap()
                    });
                    let values: Vec<usize> = values.collect();
                    assert!(values.iter().all(|value| *value == values[0]), "torn: {values:?}");
                    assert!(values[0] >= last, "{} after {last}", values[0]);
                    last = values[0];
                    // A read from memory never waits: the writers need their turn.
                    tokio::task::yield_now().await;
                }
            });
        }
        for round in 1..=40 {
            // Now and then somebody else writes, and the owner owns again.
            let by = if round % 20 == 19 { &other } else { &owner };
            let puts = keys.iter().map(|(key, _)| Put::new(&**key, round.to_string()));
            in_time("a write", by.txn(Txn::new().then(puts))).await.unwrap();
        }
        in_time("the readers", readers.join_all()).await;
        let (answer, cost) = cost(&calls, owner.txn(reads)).await;
        assert!(answer.unwrap().succeeded() && cost <= 1);
    })
    .await;
}

/// A request of any kind gets the answer of its kind, from memory or not.
#[tokio::test]
async fn leasing_do() {
    on_every_version(async |client, _| {
        let name = "leasing_do";
        let (owner, _) = leasing(&client, &format!("{name}/")).await;
        read(&owner, name).await;
        let ops = [
            (Op::from(Txn::new().then([Get::new(name)])), "txn"),
            (Txn::new().then([Put::new(name, "1")]).into(), "txn"),
            (Get::new(name).into(), "get"),
            (Put::new(name, "2").into(), "put"),
            (Get::prefix(name).into(), "get"),
            (Delete::new(name).into(), "delete"),
        ];
        for (op, expected) in ops {
            let kind = match owner.call(op.clone()).await.unwrap() {
                OpResponse::Txn(_) => "txn",
                OpResponse::Get(_) => "get",
                OpResponse::Put(_) => "put",
                OpResponse::Delete(_) => "delete",
                _ => "another",
            };
            assert_eq!(kind, expected, "{op:?}");
        }
        assert_eq!(read(&owner, name).await, None);
    })
    .await;
}
