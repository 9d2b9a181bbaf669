//! Damaged files: 10 000 of them, the same ones in each run.
//!
//! With its trailer, every damaged snapshot is rejected. Without, and for the other formats, whatever comes out, it
//! comes out: no panic, no hang, no memory beyond a bound.

use std::fs;
use std::io::Cursor;

use etcdkit_datadir::bbolt::{Bbolt, DumpOptions, Writer, WriterOptions};
use etcdkit_datadir::schema::{Backend, Revision, RevisionKey, bucket};
use etcdkit_datadir::wal::{self, Record};
use etcdkit_datadir::{ErrorKind, HashKv, Restore, Status, defragment, snap, snapshot};
use etcdkit_proto::mvccpb::KeyValue;
use etcdkit_proto::raftpb::{ConfState, Entry, Snapshot, SnapshotMetadata};
use fastrand::Rng;
use prost::Message;
use sha2::{Digest, Sha256};

/// A small database with everything in it: branches, overflow pages, inline buckets, tombstones.
fn database(options: WriterOptions) -> Vec<u8> {
    let mut writer: Writer<_> = options.start(Cursor::new(Vec::new())).expect("valid");
    for name in bucket::ALL {
        writer.begin_bucket(name.as_bytes()).expect("memory");
        match name {
            bucket::KEY => {
                for number in 0..200_i64 {
                    let tombstone = number % 7 == 6;
                    let length = if number == 50 { 9000 } else { 20 };
                    let kv = KeyValue {
                        key: format!("key-{}", number / 2).into(),
                        mod_revision: number + 2,
                        value: vec![1; length].into(),
                        ..KeyValue::default()
                    };
                    let revision = Revision { main: number + 2, sub: 0 };
                    let key = RevisionKey { revision, tombstone }.encode();
                    writer.put(&key, &kv.encode_to_vec()).expect("in order");
                }
            }
            bucket::META => {
                let compacted = Revision { main: 30, sub: 0 };
                let compacted = RevisionKey { revision: compacted, tombstone: false }.encode();
                writer
                    .put(b"confState", br#"{"voters":[1],"auto_leave":false}"#)
                    .expect("in order");
                writer.put(b"consistent_index", &9_u64.to_be_bytes()).expect("in order");
                writer.put(b"finishedCompactRev", &compacted).expect("in order");
                writer.put(b"storageVersion", b"3.6.0").expect("in order");
            }
            bucket::LEASE => writer.put(&[0, 0, 0, 0, 0, 0, 0, 1], &[8, 1, 16, 60]).expect("first"),
            bucket::MEMBERS => {
                writer
                    .put(b"1", br#"{"id":1,"peerURLs":["http://a:1"],"name":"a"}"#)
                    .expect("first");
            }
            _ => {}
        }
        writer.end_bucket().expect("open");
    }
    writer.finish().expect("memory").into_inner()
}

fn segment() -> Vec<u8> {
    let mut writer = wal::Writer::new(Vec::new(), 0).expect("memory");
    writer.append(&Record::Metadata("metadata".into())).expect("memory");
    for index in 1..40 {
        let data = Some(vec![1; 50 * index].into());
        let (term, index) = (Some(1), Some(index as u64));
        let entry = Entry { term, index, data, ..Entry::default() };
        writer.append(&Record::Entry(entry)).expect("memory");
    }
    let mut bytes = writer.into_inner();
    bytes.resize(bytes.len() + 4096, 0);
    bytes
}

fn snap_file() -> Vec<u8> {
    let conf_state = Some(ConfState { voters: vec![1, 2, 3], ..ConfState::default() });
    let metadata = Some(SnapshotMetadata { conf_state, index: Some(3), term: Some(1) });
    let mut file = Vec::new();
    let snapshot = Snapshot { data: Some(vec![b'x'; 3000].into()), metadata };
    snap::write(&mut file, &snapshot).expect("memory");
    file
}

/// Flips bits, overwrites runs and words, copies pieces around, cuts the end off, or appends to it.
fn mutate(random: &mut Rng, original: &[u8]) -> Vec<u8> {
    const WORDS: [u64; 6] = [0, 1, 0xff, 0xffff_ffff, u64::MAX, 1 << 62];
    loop {
        let mut bytes = original.to_vec();
        for _ in 0..random.usize(1..4) {
            if bytes.is_empty() {
                break;
            }
            let at = random.usize(..bytes.len());
            match random.u8(..7) {
                0 | 1 => bytes[at] ^= 1 << random.u8(..8),
                2 => bytes[at] = random.u8(..),
                3 => {
                    let end = (at + random.usize(1..64)).min(bytes.len());
                    bytes[at..end].fill(random.u8(..));
                }
                4 => {
                    let word = WORDS[random.usize(..WORDS.len())].to_le_bytes();
                    let width = [2, 4, 8][random.usize(..3)];
                    let end = (at + width).min(bytes.len());
                    bytes[at..end].copy_from_slice(&word[..end - at]);
                }
                5 => {
                    let from = random.usize(..bytes.len());
                    let length = random.usize(..600).min(bytes.len() - from).min(bytes.len() - at);
                    bytes.copy_within(from..from + length, at);
                }
                _ if random.bool() => bytes.truncate(at),
                _ => bytes.resize(bytes.len() + random.usize(1..600), random.u8(..)),
            }
        }
        if bytes != original {
            return bytes;
        }
    }
}

/// Makes the meta pages valid again, so that damage behind them is reached.
fn mend(bytes: &mut [u8], original: &[u8], page_size: usize) {
    for start in [0, page_size] {
        if let Some(meta) = bytes.get_mut(start..start + 80) {
            meta.copy_from_slice(&original[start..start + 80]);
        }
    }
}

/// Everything that can be done to a database. Returns whether anything found fault with it.
fn exercise(bytes: &[u8]) -> bool {
    let Ok(mut db) = Bbolt::open(Cursor::new(bytes)) else { return true };
    let mut fault = !db.check().is_ok_and(|report| report.is_sound());
    for error in [
        db.dump(&mut std::io::sink(), DumpOptions::default()).err(),
        defragment::copy(&mut db, Cursor::new(Vec::new())).err(),
    ] {
        fault |= error.is_some();
    }
    let mut backend = Backend::open(Cursor::new(bytes)).expect("it was one before");
    fault |= Status::of(&mut backend).is_err();
    fault |= HashKv::newest().compute(&mut backend).is_err();
    fault |= HashKv::at(40).compute(&mut backend).is_err();
    let _ = (backend.meta(), backend.auth(), backend.downgrade(), backend.cluster_version());
    let _ = backend.leases().map(Iterator::count);
    let _ = backend.members().map(Iterator::count);
    let _ = backend.users().map(Iterator::count);
    let _ = backend.alarms().map(Iterator::count);
    fault
}

#[test]
fn damaged_databases_come_to_an_end() {
    let mut random = Rng::with_seed(1);
    let variants = [
        WriterOptions::default().page_size(1024),
        WriterOptions::default().page_size(4096).freelist(),
    ];
    let mut faults = 0;
    for (options, page_size) in variants.into_iter().zip([1024, 4096]) {
        let original = database(options);
        assert!(!exercise(&original), "it is sound");
        for round in 0..2000 {
            let mut bytes = mutate(&mut random, &original);
            if round % 4 > 0 {
                mend(&mut bytes, &original, page_size);
            }
            faults += usize::from(exercise(&bytes));
        }
    }
    // The rest is damage to values and to unused bytes, which only a trailer can tell.
    assert!(faults > 1500, "{faults} of 4000");
}

#[test]
fn damaged_logs_come_to_an_end() {
    let mut random = Rng::with_seed(2);
    let original = segment();
    for _ in 0..2000 {
        let bytes = mutate(&mut random, &original);
        let mut reader = wal::Reader::new(bytes.as_slice());
        let mut records = 0;
        while let Ok(Some(_)) = reader.next_record() {
            records += 1;
        }
        assert!(records <= bytes.len() / 8);
        assert!(reader.tail().is_some());
    }
}

#[test]
fn damaged_snap_files_are_told() {
    let mut random = Rng::with_seed(3);
    let original = snap_file();
    let sound = snap::read(original.as_slice()).expect("sound");
    for _ in 0..2000 {
        let bytes = mutate(&mut random, &original);
        match snap::read(bytes.as_slice()) {
            // Fields that nobody knows may be added to a message.
            Ok(read) => assert_eq!(read, sound),
            Err(error) => assert_ne!(error.kind(), ErrorKind::Io, "{error}"),
        }
    }
}

#[test]
fn damaged_snapshots_are_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, target) = (folder.path().join("s.db"), folder.path().join("target"));
    let mut original = database(WriterOptions::default());
    original.extend_from_slice(&Sha256::digest(&original));
    fs::write(&path, &original).expect("a folder");
    Restore::new(&path).data_dir(&target).run().expect("it is sound");
    fs::remove_dir_all(&target).expect("it was restored");

    let mut random = Rng::with_seed(4);
    for round in 0..2000 {
        let bytes = mutate(&mut random, &original);
        let error = snapshot::verify(&mut Cursor::new(&bytes)).expect_err("damaged");
        let kinds = [ErrorKind::ChecksumMismatch, ErrorKind::ChecksumMissing];
        assert!(kinds.contains(&error.kind()), "{error}");
        if round % 20 == 0 {
            fs::write(&path, &bytes).expect("a folder");
            let error = Restore::new(&path).data_dir(&target).run().expect_err("damaged");
            assert!(kinds.contains(&error.kind()), "{error}");
            // Without the comparison, the structure is what is left to look at.
            if Restore::new(&path).data_dir(&target).skip_hash_check().run().is_ok() {
                fs::remove_dir_all(&target).expect("it was restored");
            }
            let left: Vec<_> = fs::read_dir(folder.path())
                .expect("a folder")
                .map(|entry| entry.expect("readable").file_name())
                .collect();
            assert_eq!(left, ["s.db"], "nothing is left behind");
        }
    }
}
