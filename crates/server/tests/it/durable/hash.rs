//! The hash of keys, equal to etcd's for the same history.

use etcdkit::{Client, Compact, Delete, ErrorKind, Op, Put, Txn};
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};

/// Transactions of a history; every so many of them the hashes are compared.
const TRANSACTIONS: usize = 600;
const EACH: usize = 30;

/// One transaction of a history. A key changes once in it.
fn transaction(random: &mut fastrand::Rng) -> Txn {
    let key = |number: u8| format!("key-{number:02}");
    let first = random.u8(..30);
    let last = first + random.u8(1..8);
    let value = "v".repeat(random.usize(..50));
    let operations: Vec<Op> = match random.u8(..10) {
        0..=6 => (first..last).map(|number| Put::new(key(number), value.as_str()).into()).collect(),
        7 => vec![Delete::range(key(first), key(last)).into()],
        8 => vec![Delete::new(key(first)).into()],
        _ => vec![Put::new(key(first), value).into(), Delete::new(key(last)).into()],
    };
    Txn::new().then(operations)
}

/// What a server says of the hash at a revision.
async fn hash(client: &Client, revision: i64) -> Result<(u32, i64), ErrorKind> {
    let answer = client.hash_kv(revision).await.map_err(|error| error.kind())?;
    Ok((answer.hash(), answer.compact_revision().get()))
}

async fn compare(version: Version, seed: u64) {
    let etcd = Etcd::builder(version).start().await;
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let ours = Client::connect([server.client_urls()[0].as_str()]).await.unwrap();
    let theirs = Client::connect([etcd.client_url()]).await.unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut compacted = 0;
    let mut compared = 0;
    for number in 1..=TRANSACTIONS {
        // Older versions count a deletion at the compacted revision: there they are compacted where a key was put.
        let marks = number % EACH == 0 && !version.at_least(3, 6);
        let txn = if marks {
            Txn::new().then([Put::new("mark", number.to_string())])
        } else {
            transaction(&mut random)
        };
        let revision = ours.txn(txn.clone()).await.unwrap().header().revision.get();
        let other = theirs.txn(txn).await.unwrap().header().revision.get();
        assert_eq!(revision, other, "{version}, seed {seed}");
        if number % EACH != 0 {
            continue;
        }
        let to = if marks { revision } else { random.i64(compacted + 1..=revision) };
        if random.bool() {
            // A hash at the compacted revision is another one once the compaction is done, on etcd too.
            for client in [&ours, &theirs] {
                client.compact(Compact::new(to).physical()).await.unwrap();
            }
            compacted = to;
        }
        // And older ones refuse the compacted revision itself.
        let oldest = if version.at_least(3, 6) { compacted - 2 } else { compacted + 1 };
        let asked = (0..6).map(|_| random.i64(oldest.max(1)..=revision + 1));
        for at in asked.chain([0]).filter(|at| *at <= revision || version.at_least(3, 6)) {
            let (our_hash, their_hash) = (hash(&ours, at).await, hash(&theirs, at).await);
            let what = format!("{version}, seed {seed}: at {at} of {compacted} to {revision}");
            assert_eq!(our_hash, their_hash, "{what}");
            compared += usize::from(our_hash.is_ok());
        }
    }
    assert!(compared > 50, "{version}: {compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_are_those_of_etcd_for_the_same_history() {
    for version in Version::available() {
        for seed in 0..2 {
            compare(version, seed).await;
        }
    }
}
