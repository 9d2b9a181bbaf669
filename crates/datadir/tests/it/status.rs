//! Status and keys of databases in all states, against the tools of all versions.

use etcdkit_datadir::bbolt::Writer;
use etcdkit_datadir::schema::{Backend, Revision, RevisionKey, Version as Number, bucket};
use etcdkit_datadir::{ErrorKind, HashKv, Status, snapshot};
use etcdkit_proto::mvccpb::KeyValue;
use etcdkit_testkit::etcd::{Etcd, Version};
use prost::Message;

use crate::scenario::{Sample, State, put_many};
use crate::{official, scenario, view};

#[tokio::test(flavor = "multi_thread")]
async fn what_servers_wrote_is_what_we_read() {
    for version in Version::available() {
        for state in State::ALL {
            check(&Sample::make(version, state).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: cargo xtask soak"]
async fn soak_a_million_keys() {
    for version in Version::available() {
        let etcd = Etcd::builder(version).start().await;
        put_many(&etcd, 1_000_000, 0);
        put_many(&etcd, 100_000, 1);
        etcd.etcdctl(["del", "key-5", "key-7"]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshot.db");
        let path_text = path.display().to_string();
        etcd.etcdctl(["snapshot", "save", &path_text]).await;
        let hash = scenario::hash_kv(&etcd, None).await;
        drop(etcd);
        let mut backend = Backend::open_path(&path).expect("a database");
        let status = Status::of(&mut backend).expect("sound");
        for tool in Version::available() {
            let official = official::status(tool, &path);
            let number: Number = tool.number().parse().expect("a version");
            assert_eq!(official["hash"], status.hash, "{version} by {tool}");
            assert_eq!(official["totalKey"], status.total_keys(number), "{version} by {tool}");
            assert_eq!(official["totalSize"], status.size, "{version} by {tool}");
        }
        let number: Number = version.number().parse().expect("a version");
        let ours = HashKv::newest().as_etcd(number).compute(&mut backend).expect("sound");
        assert_eq!(ours.hash, hash, "{version}");
    }
}

fn check(sample: &Sample) {
    let what = sample.is();
    let mut file = std::fs::File::open(&sample.snapshot).expect("it was saved");
    snapshot::verify(&mut file).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut backend = Backend::open(file).expect("a database");
    let report = backend.bbolt().check().expect("readable");
    assert!(report.is_sound(), "{what}: {:?}", report.findings);
    let status = Status::of(&mut backend).unwrap_or_else(|error| panic!("{what}: {error}"));

    for tool in Version::available() {
        let official = official::status(tool, &sample.snapshot);
        let number: Number = tool.number().parse().expect("a version");
        let ours = (status.hash.into(), status.revision.into(), status.total_keys(number).into());
        let theirs = (&official["hash"], &official["revision"], &official["totalKey"]);
        assert_eq!((&ours.0, &ours.1, &ours.2), theirs, "{what}, as {tool} counts");
        assert_eq!(official["totalSize"], status.size, "{what}");
        if tool.at_least(3, 6) {
            let version = status.version.map(|version| version.to_string()).unwrap_or_default();
            assert_eq!(official["version"], version, "{what}");
        }
    }

    assert_eq!(view::live_keys(&mut backend), sample.keys, "{what}");
    let number: Number = sample.version.number().parse().expect("a version");
    let hash = HashKv::newest().as_etcd(number).compute(&mut backend).expect("sound");
    assert_eq!(hash.hash, sample.hash_kv, "{what}");

    let meta = backend.meta().expect("sound");
    assert!(meta.consistent_index.is_some_and(|index| index > 4), "{what}");
    assert_eq!(meta.term.is_some(), sample.version.at_least(3, 5), "{what}");
    assert_eq!(meta.storage_version.is_some(), sample.version.at_least(3, 6), "{what}");
    let is_compacted = matches!(sample.state, State::Compacted | State::Defragmented);
    assert_eq!(meta.finished_compact.is_some(), is_compacted, "{what}");
    let members: Vec<_> =
        backend.members().expect("a bucket").map(|member| member.expect("sound")).collect();
    assert_eq!(members.len(), 1, "{what}");
    assert_eq!(members[0].name, "m0", "{what}");
    if let Some(conf_state) = meta.conf_state {
        assert_eq!(conf_state.voters, [members[0].id], "{what}");
    }
    let mut leases: Vec<i64> =
        backend.leases().expect("a bucket").map(|lease| lease.expect("sound").id).collect();
    leases.sort_unstable();
    assert_eq!(leases, sample.leases, "{what}");
    let users: Vec<_> =
        backend.users().expect("a bucket").map(|user| user.expect("sound").name).collect();
    let roles: Vec<_> =
        backend.roles().expect("a bucket").map(|role| role.expect("sound").name).collect();
    let auth = backend.auth().expect("sound");
    assert_eq!(auth.enabled, sample.state == State::LeasesAndAuth, "{what}");
    if auth.enabled {
        assert_eq!(users, ["reader", "root"], "{what}");
        assert_eq!(roles, ["reading", "root"], "{what}");
        assert!(auth.revision > 1, "{what}");
    }
    assert_eq!(backend.alarms().expect("a bucket").count(), 0, "{what}");
}

/// TestSnapshotStatus: ten keys of a hundred bytes, byte for byte the same on every machine.
#[test]
fn a_database_of_known_content_has_a_known_hash() {
    const HASH: u32 = 0xD0B0_E5BB;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let file = std::fs::File::create_new(&path).expect("an empty folder");
    let mut writer = Writer::new(file).expect("writable");
    for name in bucket::ALL {
        writer.begin_bucket(name.as_bytes()).expect("in order");
        if name == bucket::KEY {
            for number in 0..10_u8 {
                let revision = Revision { main: i64::from(number) + 2, sub: 0 };
                let kv = KeyValue {
                    key: vec![b'0' + number].into(),
                    create_revision: revision.main,
                    mod_revision: revision.main,
                    version: 1,
                    value: vec![0; 100].into(),
                    lease: 0,
                };
                let key = RevisionKey { revision, tombstone: false }.encode();
                writer.put(&key, &kv.encode_to_vec()).expect("in order");
            }
        }
        writer.end_bucket().expect("begun");
    }
    drop(writer.finish().expect("writable"));
    let mut backend = Backend::open_path(&path).expect("a database");
    let status = Status::of(&mut backend).expect("sound");
    assert_eq!((status.hash, status.revision, status.live_keys), (HASH, 11, 10));
    for tool in Version::available() {
        let official = official::status(tool, &path);
        assert_eq!(official["hash"], HASH, "{tool}");
        assert_eq!(
            (&official["revision"], &official["totalKey"]),
            (&11.into(), &10.into()),
            "{tool}"
        );
    }
}

#[test]
fn status_of_keys_that_are_no_revision_is_refused() {
    // Of the wrong length, negative in its main number, and in its sub number.
    let bad = [
        b"0".to_vec(),
        [&(-1_i64).to_be_bytes()[..], b"_", &0_i64.to_be_bytes()].concat(),
        [&1_i64.to_be_bytes()[..], b"_", &(-1_i64).to_be_bytes()].concat(),
    ];
    for key in bad {
        let mut writer = Writer::new(std::io::Cursor::new(Vec::new())).expect("memory");
        writer.begin_bucket(bucket::KEY.as_bytes()).expect("the first");
        writer.put(&key, b"").expect("the first");
        writer.end_bucket().expect("begun");
        let file = writer.finish().expect("memory");
        let mut backend = Backend::open(file).expect("a database");
        let error = Status::of(&mut backend).expect_err("no etcd wrote it");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key:?}: {error}");
        assert!(error.to_string().contains("revision"), "{key:?}: {error}");
    }
}
