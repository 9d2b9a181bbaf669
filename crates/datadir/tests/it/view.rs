//! What a database holds, in the form in which servers tell it.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use etcdkit_datadir::bbolt::{Bbolt, Value};
use etcdkit_datadir::schema::Backend;

use crate::scenario::{Keys, base64};

pub(crate) fn live_keys<R: Read + Seek>(backend: &mut Backend<R>) -> Keys {
    let mut keys = Keys::new();
    let mut records = backend.key_records().expect("a bucket");
    while let Some(record) = records.next_record().expect("sound") {
        let kv = record.kv;
        let key = base64(kv.key);
        if record.tombstone {
            keys.remove(&key);
        } else {
            let value = base64(kv.value);
            assert_eq!(kv.mod_revision, record.revision.main);
            keys.insert(key, (kv.create_revision, kv.mod_revision, kv.version, value, kv.lease));
        }
    }
    keys
}

pub(crate) type Buckets = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Every bucket with all its entries.
pub(crate) fn buckets<R: Read + Seek>(db: &mut Bbolt<R>) -> Buckets {
    let root = db.root();
    let mut names = Vec::new();
    let mut cursor = db.entries(&root);
    while let Some(entry) = cursor.next_entry().expect("sound") {
        let Value::Bucket(bucket) = entry.value else { panic!("the root holds buckets") };
        names.push((String::from_utf8_lossy(entry.key).into_owned(), bucket));
    }
    let mut buckets = BTreeMap::new();
    for (name, bucket) in names {
        let mut entries = BTreeMap::new();
        let mut cursor = db.entries(&bucket);
        while let Some(entry) = cursor.next_entry().expect("sound") {
            let Value::Bytes(value) = entry.value else { panic!("etcd does not nest buckets") };
            entries.insert(entry.key.to_vec(), value.to_vec());
        }
        buckets.insert(name, entries);
    }
    buckets
}

/// A database of these buckets.
pub(crate) fn write(buckets: &Buckets, path: &std::path::Path) {
    let file = std::fs::File::create(path).expect("a folder");
    let mut writer = etcdkit_datadir::bbolt::Writer::new(file).expect("a file");
    for (name, entries) in buckets {
        writer.begin_bucket(name.as_bytes()).expect("a file");
        for (key, value) in entries {
            writer.put(key, value).expect("a file");
        }
        writer.end_bucket().expect("a file");
    }
    writer.finish().expect("a file");
}
