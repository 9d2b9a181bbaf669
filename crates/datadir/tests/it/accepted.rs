//! Files that this crate wrote, in the hands of etcd's own tools.

use std::fs;

use etcdkit_datadir::bbolt::Bbolt;
use etcdkit_datadir::schema::Backend;
use etcdkit_datadir::{Restore, Status, defragment};
use etcdkit_testkit::etcd::{Etcd, Version};
use std::ops::ControlFlow;

use crate::scenario::{Sample, State};
use crate::{official, view};

#[tokio::test(flavor = "multi_thread")]
async fn the_official_tools_accept_what_we_wrote() {
    for version in Version::available() {
        for state in [State::Compacted, State::LeasesAndAuth] {
            accept(&Sample::make(version, state).await);
        }
    }
}

fn accept(sample: &Sample) {
    let original = fs::File::open(&sample.snapshot).expect("it was saved");
    let mut original = Bbolt::open(original).expect("a database");
    let copy = sample.path("defragmented.db");
    let out = fs::File::options().create_new(true).read(true).write(true).open(&copy);
    defragment::copy(&mut original, out.expect("a folder")).expect("sound");
    let before = Status::of(&mut Backend::open_path(&sample.snapshot).expect("a database"));
    let before = before.expect("sound");

    let restored = sample.path("restored");
    Restore::new(&sample.snapshot).data_dir(&restored).run().expect("sound");
    for tool in Version::available() {
        let status = official::status(tool, &copy);
        assert_eq!(status["hash"], before.hash, "{} by {tool}", sample.is());
        official::status(tool, &restored.join("member/snap/db"));
        let db = restored.join("member/snap/db");
        // etcdutl panics at keys with leases: "no lessor to attach lease".
        if tool.at_least(3, 6) && sample.leases.is_empty() {
            let hash = official::hash_kv(tool, &db, 0).expect("accepted");
            assert_eq!(hash["hash"], sample.hash_kv, "{} by {tool}", sample.is());
        }
        if tool.at_least(3, 5) {
            let data_dir = restored.display().to_string();
            official::succeed(tool, &["defrag", "--data-dir", &data_dir]);
        }
    }
    let read = view::live_keys(
        &mut Backend::open_path(restored.join("member/snap/db")).expect("a database"),
    );
    assert_eq!(read, sample.keys, "{}", sample.is());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_is_defragmented_in_place_once_etcd_is_down() {
    for version in Version::available() {
        let etcd = Etcd::builder(version).start().await;
        for number in 0..20 {
            etcd.etcdctl(["put", "key", &number.to_string().repeat(50_000)]).await;
        }
        etcd.etcdctl(["compact", "21", "--physical"]).await;
        let data_dir = etcd.data_dir();
        let mut ignore = |_| ControlFlow::Continue(());
        let error = defragment::data_dir(&data_dir, &mut ignore).expect_err("etcd holds it");
        assert_eq!(error.kind(), etcdkit_datadir::ErrorKind::InUse, "{version}: {error}");
        etcd.stop().await;
        let sizes = defragment::data_dir(&data_dir, &mut ignore).expect("etcd is down");
        assert!(sizes.after * 2 < sizes.before, "{version}: {sizes:?}");
        let names: Vec<_> = fs::read_dir(data_dir.join("member/snap"))
            .expect("a folder")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("etcdkit")), "{names:?}");
        etcd.start().await;
        let value = etcd.etcdctl(["get", "key", "--print-value-only"]).await;
        assert_eq!(value.trim().len(), 100_000, "{version}");
        etcd.etcdctl(["put", "key", "more"]).await;
    }
}
