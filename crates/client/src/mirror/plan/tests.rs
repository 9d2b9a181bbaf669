//! What is written, of tables and of any source.

use super::*;

fn translation() -> Translation {
    Translation { from: "a/".into(), to: "b/".into() }
}

fn put(key: &str, value: &str, at: i64) -> Event {
    Event::put(KeyValue::new(format!("a/{key}"), value).with_revisions(at, at))
}

fn ops(batch: Batch) -> Vec<Op> {
    batch.txn(None, Revision::NONE).success().collect()
}

#[test]
fn revisions_share_a_batch_and_the_last_write_counts() {
    let gone = Event::delete(KeyValue::new("a/y", "").with_revisions(0, 7));
    let events = [put("x", "1", 5), put("y", "1", 5), put("x", "2", 6), gone];
    let mut made = batches(&events, &translation(), Limits::default());
    assert_eq!(made.len(), 1);
    let batch = made.remove(0);
    assert_eq!(batch.complete, Some(Revision::new(7)));
    assert_eq!(ops(batch), [Op::from(Put::new("b/x", "2")), Delete::new("b/y").into()]);
}

#[test]
fn a_batch_ends_with_a_revision() {
    // 100 and 100 do not fit into one; 200 of one revision do not fit at all.
    let many = |count: i64, at| (0..count).map(move |key| put(&format!("{at}/{key:03}"), "", at));
    let events: Vec<Event> = many(100, 5).chain(many(100, 6)).chain(many(200, 7)).collect();
    let made: Vec<_> = batches(&events, &translation(), Limits::default())
        .into_iter()
        .map(|batch| (batch.len(), batch.complete.map(Revision::get)))
        .collect();
    assert_eq!(made, [(100, Some(5)), (100, Some(6)), (127, None), (73, Some(7))]);
}

#[test]
fn the_checkpoint_goes_with_the_last_of_a_revision() {
    let batch = || batches(&[put("x", "1", 5)], &translation(), Limits::default()).remove(0);
    let mark = Mark::new("mark".into(), source(0xaf, 9));
    let txn = batch().txn(Some(&mark), Revision::NONE);
    assert_eq!(txn.success().last(), Some(Put::new("mark", "5 af").into()));
    assert_eq!(batch().txn(None, Revision::NONE).success().count(), 1);
}

fn source(cluster: u64, revision: i64) -> ResponseHeader {
    let mut header = ResponseHeader::at(revision);
    header.cluster_id = cluster;
    header
}

#[test]
fn a_checkpoint_counts_for_the_history_that_it_is_of() {
    let table = [
        ("5 af", Some(5)),
        ("9 af", Some(9)),
        // The source was restored, or is another one.
        ("10 af", Some(0)),
        ("5 ae", Some(0)),
        // As it was written before.
        ("5", Some(5)),
        ("10", Some(0)),
        ("0 af", Some(0)),
        ("-5", Some(0)),
        ("af", None),
        ("", None),
        ("5 ", None),
    ];
    for (text, expected) in table {
        let read = Mark::read(&KeyValue::new("mark", text), source(0xaf, 9));
        assert_eq!(read.map(Revision::get), expected, "{text:?}");
    }
}

#[test]
fn what_differs_is_written_and_what_is_too_much_deleted_where_that_is_wanted() {
    let source = [("a/1", "same"), ("a/2", "new"), ("a/4", "added")];
    let there = [("b/1", "same"), ("b/2", "old"), ("b/3", "gone"), ("b/5", "gone"), ("b/mark", "")];
    let kvs = |list: &[(&str, &str)]| -> Vec<KeyValue> {
        list.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect()
    };
    let (source, there) = (kvs(&source), kvs(&there));
    let copied = |extra| {
        let spared = [Bytes::from("b/mark")];
        let mut merge = Merge::new(translation(), Limits::default(), extra, spared);
        let (mut left, mut right) = (0, 0);
        loop {
            let (next_left, next_right) = merge.step(source.get(left), there.get(right));
            left += usize::from(next_left);
            right += usize::from(next_right);
            if !next_left && !next_right {
                break;
            }
        }
        let ops = ops(merge.take(true).unwrap());
        assert!(merge.take(true).is_none());
        ops
    };
    let (new, added) = (Op::from(Put::new("b/2", "new")), Op::from(Put::new("b/4", "added")));
    assert_eq!(copied(Extra::Kept), [new.clone(), added.clone()]);
    let [three, five] = ["b/3", "b/5"].map(|key| Op::from(Delete::new(key)));
    assert_eq!(copied(Extra::Deleted), [new, three, added, five]);
}

type Copy = BTreeMap<String, String>;

fn apply(copy: &mut Copy, batch: Batch) {
    for op in ops(batch) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match op {
            Op::Put(put) => drop(copy.insert(text(put.key()), text(&put.value_bytes()))),
            Op::Delete(delete) => drop(copy.remove(&text(delete.key_range().start()))),
            other => panic!("{other:?}"),
        }
    }
}

fn kvs(copy: &Copy) -> Vec<KeyValue> {
    copy.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect()
}

/// Where the copy of a key lies.
fn there(key: &str) -> String {
    key.replacen("a/", "b/", 1)
}

/// One of few, short or longer than a batch may be.
fn value(random: &mut fastrand::Rng) -> String {
    random.u8(..3).to_string().repeat(*random.choice(&[1, 1, 1, 20, 50]).unwrap())
}

fn size(op: &Op) -> usize {
    match op {
        Op::Put(put) => put.key().len() + put.value().len(),
        Op::Delete(delete) => delete.key_range().start().len(),
        other => panic!("{other:?}"),
    }
}

/// Whatever both sides hold, and whatever happens then: the copy is the source as it was at each revision that is said
/// to be complete.
#[test]
fn any_source_is_copied_and_followed() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut some = |side: &str| -> Copy {
            let key = |random: &mut fastrand::Rng| format!("{side}{}", random.u32(..12));
            (0..random.usize(..10)).map(|_| (key(&mut random), value(&mut random))).collect()
        };
        let (mut source, mut copy) = (some("a/"), some("b/"));
        let limits = Limits { ops: random.usize(1..6), bytes: random.usize(10..60) };
        let within = |batch: &Batch| {
            let bytes: usize = batch.ops.values().map(size).sum();
            batch.ops.len() <= limits.ops && (bytes <= limits.bytes || batch.ops.len() == 1)
        };

        let mut merge = Merge::new(translation(), limits, Extra::Deleted, None);
        let (from, to) = (kvs(&source), kvs(&copy));
        let (mut left, mut right) = (0, 0);
        loop {
            let (next_left, next_right) = merge.step(from.get(left), to.get(right));
            left += usize::from(next_left);
            right += usize::from(next_right);
            let over = !next_left && !next_right;
            if let Some(batch) = merge.take(over) {
                assert!(within(&batch), "seed {seed}: {batch:?} of {limits:?}");
                apply(&mut copy, batch);
            }
            if over {
                break;
            }
        }
        let expected = |source: &Copy| -> Copy {
            source.iter().map(|(key, value)| (there(key), value.clone())).collect()
        };
        assert_eq!(copy, expected(&source), "seed {seed}");

        let mut history = BTreeMap::new();
        let mut events = Vec::new();
        for revision in 1..random.i64(2..12) {
            // etcd lets each key be written once at a revision.
            let mut keys: Vec<u32> = (0..12).collect();
            random.shuffle(&mut keys);
            for number in keys.into_iter().take(random.usize(1..8)) {
                let key = number.to_string();
                if random.bool() {
                    let value = value(&mut random);
                    events.push(put(&key, &value, revision));
                    source.insert(format!("a/{key}"), value);
                } else {
                    let gone = KeyValue::new(format!("a/{key}"), "").with_revisions(0, revision);
                    events.push(Event::delete(gone));
                    source.remove(&format!("a/{key}"));
                }
            }
            history.insert(revision, expected(&source));
        }
        for batch in batches(&events, &translation(), limits) {
            assert!(within(&batch), "seed {seed}: {batch:?} of {limits:?}");
            let complete = batch.complete;
            apply(&mut copy, batch);
            if let Some(revision) = complete {
                assert_eq!(copy, history[&revision.get()], "seed {seed} at {revision}");
            }
        }
        assert_eq!(copy, expected(&source), "seed {seed}");
    }
}
