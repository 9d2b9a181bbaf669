//! A member that is put back to what it was: the same cluster, with a shorter history.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcdkit_testkit::etcd::Etcd;

/// A copy of a member's data directory.
pub(crate) struct Backup<'a> {
    etcd: &'a Etcd,
    copy: PathBuf,
}

impl<'a> Backup<'a> {
    /// Stops the member for as long as it takes.
    pub(crate) async fn of(etcd: &'a Etcd) -> Self {
        let copy = etcd.data_dir().with_file_name("backup");
        etcd.stop().await;
        copy_all(&etcd.data_dir(), &copy).expect("the data can be copied");
        etcd.start().await;
        Self { etcd, copy }
    }

    /// The member goes on from the copy, and has lost what came after it.
    pub(crate) async fn restore(self) {
        self.etcd.kill().await;
        fs::remove_dir_all(self.etcd.data_dir()).expect("the data can be deleted");
        fs::rename(&self.copy, self.etcd.data_dir()).expect("the copy takes its place");
        self.etcd.start().await;
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
