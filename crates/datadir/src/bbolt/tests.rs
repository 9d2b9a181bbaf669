//! What is written is what is read, whatever the sizes; and what is damaged is told.

use std::collections::BTreeMap;
use std::io::Cursor as Bytes;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::edit::{Editor, Entries};
use super::{Bbolt, DumpOptions, Value, Writer, WriterOptions};
use crate::error::{Defect, ErrorKind};

type Buckets = BTreeMap<Vec<u8>, Entries>;

fn write(options: WriterOptions, buckets: &Buckets) -> Vec<u8> {
    let mut writer = options.start(Bytes::new(Vec::new())).expect("valid options");
    for (name, entries) in buckets {
        writer.begin_bucket(name).expect("memory can be written");
        for (key, value) in entries {
            writer.put(key, value).expect("memory can be written");
        }
        writer.end_bucket().expect("memory can be written");
    }
    writer.finish().expect("memory can be written").into_inner()
}

fn read(file: Vec<u8>) -> Buckets {
    let mut db = Bbolt::open(Bytes::new(file)).expect("a database");
    let report = db.check().expect("memory can be read");
    assert!(report.is_sound(), "{:?}", report.findings);
    let mut names = Vec::new();
    let root = db.root();
    let mut cursor = db.entries(&root);
    while let Some(entry) = cursor.next_entry().expect("sound") {
        let Value::Bucket(bucket) = entry.value else { panic!("the root holds buckets") };
        names.push((entry.key.to_vec(), bucket));
    }
    let mut buckets = Buckets::new();
    for (name, bucket) in names {
        let mut entries = Entries::new();
        let mut cursor = db.entries(&bucket);
        while let Some(entry) = cursor.next_entry().expect("sound") {
            let Value::Bytes(value) = entry.value else { panic!("no nested buckets here") };
            entries.insert(entry.key.to_vec(), value.to_vec());
        }
        buckets.insert(name, entries);
    }
    buckets
}

fn numbered(count: u32, value: usize) -> Entries {
    (0..count).map(|number| (number.to_be_bytes().to_vec(), vec![7; value])).collect()
}

fn sample(count: u32, value: usize) -> Buckets {
    let small = Entries::from([(b"a".to_vec(), b"1".to_vec())]);
    [
        (b"empty".to_vec(), Entries::new()),
        (b"key".to_vec(), numbered(count, value)),
        (b"meta".to_vec(), small),
    ]
    .into()
}

fn entries() -> impl Strategy<Value = Entries> {
    let key = prop_oneof![8 => vec(any::<u8>(), 1..40), 1 => vec(any::<u8>(), 200..3000)];
    let value = prop_oneof![
        20 => vec(any::<u8>(), 0..60),
        3 => vec(any::<u8>(), 900..5000),
        1 => (60_000_usize..200_000).prop_map(|length| vec![9; length]),
    ];
    btree_map(key, value, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read(
        buckets in btree_map(vec(any::<u8>(), 1..20), entries(), 0..5),
        shift in 0_u32..7,
        fill in 10_u32..=100,
        freelist in any::<bool>(),
    ) {
        let mut options = WriterOptions::default().page_size(1024 << shift).fill_percent(fill);
        if freelist {
            options = options.freelist();
        }
        prop_assert_eq!(read(write(options, &buckets)), buckets);
    }

    #[test]
    fn seeking_finds_the_next_key(entries in entries(), wanted in vec(any::<u8>(), 0..40)) {
        let buckets = [(b"b".to_vec(), entries.clone())].into();
        let file = write(WriterOptions::default().page_size(1024), &buckets);
        let mut db = Bbolt::open(Bytes::new(file)).expect("a database");
        let bucket = db.bucket(b"b").expect("sound").expect("written");
        let expected = entries.range(wanted.clone()..).next().map(|(key, _)| key.clone());
        let mut cursor = db.entries(&bucket);
        cursor.seek(&wanted).expect("sound");
        let found = cursor.next_entry().expect("sound").map(|entry| entry.key.to_vec());
        prop_assert_eq!(found, expected);
        prop_assert_eq!(db.last_key(&bucket).expect("sound"), entries.keys().last().cloned());
        prop_assert_eq!(db.get(&bucket, &wanted).expect("sound"), entries.get(&wanted).cloned());
    }

    #[test]
    fn edits_change_what_they_say(
        mut before in entries(),
        replaced in entries(),
        shift in 0_u32..7,
    ) {
        let buckets = Buckets::from([
            (b"key".to_vec(), before.clone()),
            (b"members".to_vec(), numbered(3, 10)),
            (b"other".to_vec(), numbered(100, 100)),
        ]);
        let file = write(WriterOptions::default().page_size(1024 << shift).freelist(), &buckets);
        let mut editor = Editor::open(Bytes::new(file)).expect("a database");
        editor.append(b"key", &[0xff; 50], b"last").expect("sound");
        editor.replace(b"members", &replaced).expect("sound");
        let (file, length) = editor.commit().expect("sound");
        prop_assert_eq!(file.get_ref().len() as u64, length);
        before.insert(vec![0xff; 50], b"last".to_vec());
        let mut expected = buckets;
        expected.insert(b"key".to_vec(), before);
        expected.insert(b"members".to_vec(), replaced);
        prop_assert_eq!(read(file.into_inner()), expected);
    }
}

#[test]
fn nested_buckets_and_sequences() {
    let mut writer = Writer::new(Bytes::new(Vec::new())).expect("memory");
    for depth in 0..20_u8 {
        writer.begin_bucket(&[depth + 1]).expect("not too deep");
        writer.set_sequence(depth.into());
    }
    writer.put(b"deep", b"down").expect("a bucket is open");
    for _ in 0..20 {
        writer.end_bucket().expect("open");
    }
    let mut db = Bbolt::open(writer.finish().expect("memory")).expect("a database");
    let report = db.check().expect("memory");
    assert!(report.is_sound() && report.buckets == 20, "{report:?}");
    let mut bucket = db.root();
    for depth in 0..20_u8 {
        bucket = db.bucket_in(&bucket, &[depth + 1]).expect("sound").expect("written");
        assert_eq!(bucket.sequence(), u64::from(depth));
    }
    assert_eq!(db.get(&bucket, b"deep").expect("sound"), Some(b"down".to_vec()));
    let mut text = Vec::new();
    db.dump(&mut text, DumpOptions::default()).expect("sound");
    assert!(String::from_utf8_lossy(&text).contains("deep = down"));
}

#[test]
fn branches_have_two_children_at_least() {
    for count in 1..400 {
        let file = write(WriterOptions::default().page_size(1024), &sample(count, 300));
        for page in file.chunks_exact(1024).skip(2) {
            let header = super::page::Header::parse(page).expect("a page");
            assert!(header.flags != super::page::BRANCH || header.count >= 2, "{count} entries");
        }
    }
}

#[test]
fn the_newer_meta_page_counts() {
    let old = write(WriterOptions::default(), &sample(3, 3));
    let check = |damaged: &[usize], expected: Result<u64, ErrorKind>| {
        let mut file = old.clone();
        for &meta in damaged {
            file[meta * 4096 + 70] ^= 1;
        }
        let opened = Bbolt::open(Bytes::new(file)).map(|db| db.meta().txid);
        assert_eq!(opened.map_err(|error| error.kind()), expected, "{damaged:?}");
    };
    check(&[], Ok(2));
    check(&[1], Ok(2));
    check(&[0], Ok(1));
    check(&[0, 1], Err(ErrorKind::NotADatabase));
}

#[test]
fn every_page_size_is_found_behind_a_damaged_first_page() {
    for shift in 0..=6 {
        let mut file = write(WriterOptions::default().page_size(1024 << shift), &sample(500, 10));
        file[..1024].fill(0);
        assert_eq!(read(file).len(), 3, "{}", 1024 << shift);
    }
}

#[test]
fn a_file_that_ends_early_is_told() {
    let file = write(WriterOptions::default(), &sample(500, 10));
    for length in 0..file.len() {
        let error = Bbolt::open(Bytes::new(file[..length].to_vec())).expect_err("cut off");
        let kind = if length < 80 { ErrorKind::NotADatabase } else { ErrorKind::Truncated };
        assert_eq!(error.kind(), kind, "{length}");
    }
}

#[test]
fn defects_are_named() {
    let original = write(WriterOptions::default().page_size(1024), &sample(300, 20));
    let root = Bbolt::open(Bytes::new(original.clone())).expect("sound").meta().root;
    // Pages fill up in order: 2 is the first leaf of `key`, and its branch comes right before the root.
    let (leaf, branch) = (2048, (usize::try_from(root).expect("small") - 1) * 1024);
    let check = |what: &str, change: &dyn Fn(&mut Vec<u8>), expected: &[Defect]| {
        let mut file = original.clone();
        change(&mut file);
        let mut db = Bbolt::open(Bytes::new(file)).expect("the meta pages are sound");
        let report = db.check().expect("memory can be read");
        let found: Vec<Defect> = report.findings.iter().map(|finding| finding.defect).collect();
        for defect in expected {
            assert!(found.contains(defect), "{what}: {:?}", report.findings);
        }
        let error = report.into_result().expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}");
    };
    let put = |at: usize, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move |file: &mut Vec<u8>| file[at..at + bytes.len()].copy_from_slice(&bytes)
    };
    check("page number", &put(leaf, &[9]), &[Defect::PageIdMismatch]);
    check("page type", &put(leaf + 8, &[0x10]), &[Defect::WrongPageType]);
    check("element", &put(leaf + 16 + 4, &[0xff; 4]), &[Defect::ElementOutOfBounds]);
    check("key size", &put(leaf + 16 + 8, &[0; 4]), &[Defect::KeySize]);
    check("overflow", &put(leaf + 12, &[0xff; 4]), &[Defect::PageOutOfBounds]);
    check("child", &put(branch + 16 + 8, &[0xff; 8]), &[Defect::PageOutOfBounds]);
    check("loop", &put(branch + 16 + 8, &[(branch / 1024) as u8, 0]), &[Defect::DoubleReference]);
    check("shared", &put(branch + 16 + 8, &[3]), &[Defect::DoubleReference, Defect::KeyOutOfRange]);
    let swap = |file: &mut Vec<u8>| {
        let (first, second) =
            (file[leaf + 16..leaf + 32].to_vec(), file[leaf + 32..leaf + 48].to_vec());
        let shifted = |element: &[u8], by: i32| {
            let position = i32::from_le_bytes(element[4..8].try_into().expect("four"));
            let mut element = element.to_vec();
            element[4..8].copy_from_slice(&(position + by).to_le_bytes());
            element
        };
        file[leaf + 16..leaf + 32].copy_from_slice(&shifted(&second, 16));
        file[leaf + 32..leaf + 48].copy_from_slice(&shifted(&first, -16));
    };
    check("order", &swap, &[Defect::KeyOrder]);
}
