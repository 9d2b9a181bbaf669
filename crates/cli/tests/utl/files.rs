//! The files that the command lines are about.
//!
//! `v3.4.db` to `v3.7.db` are snapshots of members of each version that is at hand, `data` and `data-3.6` data directories
//! of members that were stopped, `broken.db`, `short.db`, `cut.db`, `changed.db` are what their names say, and `bare.db` is a database
//! without a hash.

use std::fs;
use std::io;
use std::path::Path;

use etcdkit_testkit::etcd::{Etcd, Version};
use tempfile::TempDir;

pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) async fn make() -> Self {
        let files = Self { folder: TempDir::new().expect("a folder") };
        for version in Version::available() {
            files.member(version).await;
        }
        let path = |name: &str| files.folder.path().join(name);
        let whole = fs::read(path("v3.7.db")).expect("there is 3.7");
        let write = |name: &str, bytes: &[u8]| fs::write(path(name), bytes).expect("it is written");
        write("short.db", b"hello");
        write("broken.db", &[b'x'; 8192]);
        write("cut.db", &whole[..whole.len() - 4096]);
        write("bare.db", &whole[..whole.len() - 32]);
        let mut changed = whole;
        let middle = changed.len() - 100;
        changed[middle] ^= 1;
        write("changed.db", &changed);
        fs::create_dir_all(path("empty")).expect("a folder");
        fs::create_dir_all(path("full")).expect("a folder");
        write("full/file", b"");
        files
    }

    async fn member(&self, version: Version) {
        let etcd = Etcd::builder(version).start().await;
        for number in 0..20 {
            etcd.etcdctl(["put", &format!("key-{number}"), "value"]).await;
        }
        etcd.etcdctl(["del", "key-3"]).await;
        etcd.etcdctl(["lease", "grant", "3600"]).await;
        etcd.etcdctl(["compaction", "9"]).await;
        etcd.etcdctl(["put", "after", "compaction"]).await;
        let snapshot = self.folder.path().join(format!("v3.{}.db", version.minor()));
        etcd.etcdctl(["snapshot", "save", &snapshot.display().to_string()]).await;
        etcd.stop().await;
        let name = match version {
            Version::V3_7 => "data",
            Version::V3_6 => "data-3.6",
            Version::V3_5 => "data-3.5",
            Version::V3_4 => "data-3.4",
        };
        let data = self.folder.path().join(name);
        copy(&etcd.data_dir(), &data).expect("it is copied");
        trim_logs(&data.join("member/wal")).expect("there is a log");
    }

    /// A folder with copies of all of them.
    pub(crate) fn copy(&self) -> TempDir {
        let folder = TempDir::new().expect("a folder");
        copy(self.folder.path(), folder.path()).expect("it is copied");
        folder
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.path().extension().is_some_and(|name| name == "tmp") {
            // What etcd allocates ahead is large and says nothing.
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Cuts off the zeros that etcd allocates ahead in its logs, some sixty megabytes in each.
fn trim_logs(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        let zeros = bytes.rchunks_exact(4096).take_while(|chunk| *chunk == [0; 4096]).count();
        fs::OpenOptions::new()
            .write(true)
            .open(&path)?
            .set_len((bytes.len() - zeros * 4096) as u64)?;
    }
    Ok(())
}
