//! The hash of keys at each revision, against `etcdutl hashkv`.

use etcdkit_datadir::schema::Backend;
use etcdkit_datadir::{ErrorKind, HashKv};
use etcdkit_testkit::etcd::Version;

use crate::official;
use crate::scenario::{Sample, State, without_trailer};

#[tokio::test(flavor = "multi_thread")]
async fn hashes_at_each_revision_are_etcdutls() {
    let tools: Vec<Version> =
        Version::available().into_iter().filter(|version| version.at_least(3, 6)).collect();
    for version in Version::available() {
        for state in [State::Compacted, State::Deleted, State::Defragmented] {
            let sample = Sample::make(version, state).await;
            for &tool in &tools {
                check(&sample, tool);
            }
        }
    }
}

fn check(sample: &Sample, tool: Version) {
    let what = format!("{} by {tool}", sample.is());
    let mut backend = Backend::open_path(&sample.snapshot).expect("a database");
    let current = backend.revision().expect("sound");
    for revision in (0..=current + 1).rev().take(8).chain([0, 1]) {
        // The tool opens the file for writing, and may go on with a compaction.
        let copy = sample.path("copy.db");
        without_trailer(&sample.snapshot, &copy);
        let official = official::hash_kv(tool, &copy, revision);
        let ours = HashKv::at(revision).compute(&mut backend);
        match (official, ours) {
            (Ok(official), Ok(ours)) => {
                assert_eq!(official["hash"], ours.hash, "{what} at {revision}");
                assert_eq!(official["hashRevision"], ours.revision, "{what} at {revision}");
                assert_eq!(
                    official["compactRevision"], ours.compact_revision,
                    "{what} at {revision}"
                );
            }
            (Err(text), Err(error)) => {
                let expected = match error.kind() {
                    ErrorKind::Compacted => "required revision has been compacted",
                    ErrorKind::FutureRevision => "required revision is a future revision",
                    kind => panic!("{what} at {revision}: {kind:?}"),
                };
                assert!(text.contains(expected), "{what} at {revision}: {text}");
            }
            (official, ours) => panic!("{what} at {revision}: {official:?}, {ours:?}"),
        }
    }
}
