//! Moving a data directory to the storage version of another etcd, as `etcdutl migrate` does.
//!
//! Nothing but the note of the version differs between 3.5, 3.6 and 3.7. What stands in the way of an older etcd is its log:
//! entries that it does not know.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use etcdkit_proto::etcdserverpb::InternalRaftRequest;
use etcdkit_proto::raftpb::EntryType;
use prost::Message;

use crate::bbolt::edit::Editor;
use crate::error::{Defect, Error, ErrorKind, Result};
use crate::files::{self, Draft, sync_file};
use crate::schema::{Backend, Meta, Version, bucket};
use crate::wal::{Record, folder};

/// The key of the version in the bucket `meta`.
const STORAGE_VERSION: &[u8] = b"storageVersion";

/// The versions that there is a way between, oldest first.
const KNOWN: [Version; 3] = [Version::new(3, 5), Version::new(3, 6), Version::new(3, 7)];

/// Moves a data directory to another storage version, while no etcd runs on it.
///
/// ```no_run
/// use etcdkit_datadir::Migrate;
/// use etcdkit_datadir::schema::Version;
///
/// let migrated = Migrate::new("default.etcd", Version::new(3, 6)).run()?;
/// println!("from {} on", migrated.from);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing happens until `run`"]
pub struct Migrate {
    data_dir: PathBuf,
    target: Version,
    force: bool,
}

/// What a migration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The version before.
    pub from: Version,
    /// The version now.
    pub to: Version,
}

impl Migrate {
    /// Moves the data directory to the version that etcd `target` stores. 3.5, 3.6 and 3.7 are known.
    pub fn new(data_dir: impl Into<PathBuf>, target: Version) -> Self {
        Self { data_dir: data_dir.into(), target, force: false }
    }

    /// Notes the version even where the older etcd would fail on the log.
    pub const fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Migrates. It blocks the thread until the change is on disk; where nothing is to be changed the file stays as it is.
    ///
    /// # Errors
    ///
    /// `InUse` when a process holds the database open, `Refused` when the log has entries that the target does not know,
    /// `Unsupported` for a version that there is no way to, `Corrupt` when the present version cannot be told, else when
    /// something cannot be read or written.
    pub fn run(&self) -> Result<Migrated> {
        let path = self.data_dir.join("member").join("snap").join("db");
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = file.map_err(|error| Error::io("cannot open", error).in_file(&path))?;
        files::lock(&file, &path)?;
        self.change(&mut file, &path).map_err(|error| error.in_file(&path))
    }

    /// Changes a copy, which then takes the database's place: a power cut leaves the one or the other.
    fn change(&self, file: &mut File, path: &Path) -> Result<Migrated> {
        let from = present(&Backend::open(&mut *file)?.meta()?)?;
        let to = Version::new(self.target.major, self.target.minor);
        if from.line() == to.line() {
            return Ok(Migrated { from, to });
        }
        for version in [from, to] {
            if !KNOWN.iter().any(|known| known.line() == version.line()) {
                let message = format!("there is no way to or from storage version {version}");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        }
        let needed = newest_in_log(&self.data_dir.join("member").join("wal"))?;
        if to < needed && !self.force {
            let message = format!("the log has entries that etcd before {needed} does not know");
            return Err(Error::refused(message));
        }
        let draft = Draft::of(path)?;
        let mut copy = files::create_file(draft.path())?;
        let copied = file.seek(SeekFrom::Start(0)).and_then(|_| io::copy(file, &mut copy));
        copied.map_err(|error| Error::io("cannot copy", error))?;
        let mut editor = Editor::open(copy)?;
        let mut meta = editor.read(bucket::META.as_bytes())?;
        if to.line() < (3, 6) {
            meta.remove(STORAGE_VERSION);
        } else {
            meta.insert(STORAGE_VERSION.to_vec(), to.to_string().into_bytes());
        }
        editor.replace(bucket::META.as_bytes(), &meta)?;
        let (copy, length) = editor.commit()?;
        let present = copy.metadata().map_err(|error| Error::io("cannot read", error))?.len();
        if present < length {
            copy.set_len(length).map_err(|error| Error::io("cannot resize", error))?;
        }
        sync_file(&copy, draft.path())?;
        draft.publish()?;
        Ok(Migrated { from, to })
    }
}

/// The version that is noted, or 3.5, which notes none.
fn present(meta: &Meta) -> Result<Version> {
    if let Some(version) = meta.storage_version {
        return Ok(version);
    }
    let missing = |what: &str| {
        Err(Error::corrupt(Defect::InvalidMessage, format!("missing {what} information")))
    };
    match (meta.term, &meta.conf_state) {
        (None | Some(0), _) => missing("term"),
        (_, None) => missing("confstate"),
        _ => Ok(Version::new(3, 5)),
    }
}

/// The oldest etcd that knows every entry of the log: up to now only 3.6 has added one that is not known before.
fn newest_in_log(wal: &Path) -> Result<Version> {
    let mut newest = Version::new(3, 5);
    folder::for_each_record(wal, |record| {
        if let Record::Entry(entry) = record
            && entry.r#type() == EntryType::Normal
            && let Some(data) = &entry.data
            && let Ok(request) = InternalRaftRequest::decode(&data[..])
            && request.downgrade_version_test.is_some()
        {
            newest = Version::new(3, 6);
        }
        Ok(())
    })?;
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use etcdkit_proto::etcdserverpb::DowngradeVersionTestRequest;
    use etcdkit_proto::raftpb::Entry;

    use super::*;
    use crate::Restore;
    use crate::bbolt;
    use crate::wal;

    /// A restored member whose database notes this version, if any.
    fn member(folder: &Path, version: Option<&str>) -> PathBuf {
        let snapshot = folder.join("snapshot.db");
        let mut writer =
            bbolt::Writer::new(File::create(&snapshot).expect("a file")).expect("memory");
        for name in bucket::ALL {
            writer.begin_bucket(name.as_bytes()).expect("the next");
            if name == bucket::META {
                writer.put(b"confState", br#"{"voters":[1]}"#).expect("in order");
                if let Some(version) = version {
                    writer.put(STORAGE_VERSION, version.as_bytes()).expect("in order");
                }
            }
            writer.end_bucket().expect("open");
        }
        writer.finish().expect("it is written");
        let data_dir = folder.join("member.etcd");
        Restore::new(&snapshot)
            .skip_hash_check()
            .data_dir(&data_dir)
            .run()
            .expect("it is restored");
        data_dir
    }

    fn noted(data_dir: &Path) -> Option<Version> {
        let mut backend = Backend::open_path(data_dir.join("member/snap/db")).expect("a database");
        backend.bbolt().check().expect("it is read").into_result().expect("it is sound");
        backend.meta().expect("it is there").storage_version
    }

    /// Adds an entry that etcd 3.5 does not know.
    fn add_new_entry(data_dir: &Path) {
        let folder = data_dir.join("member/wal");
        let mut records = Vec::new();
        wal::folder::for_each_record(&folder, |record| {
            records.push(record);
            Ok(())
        })
        .expect("it is a log");
        let request = InternalRaftRequest {
            downgrade_version_test: Some(DowngradeVersionTestRequest { ver: "3.6.0".to_owned() }),
            ..InternalRaftRequest::default()
        };
        let data = Some(Bytes::from(request.encode_to_vec()));
        records.push(Record::Entry(Entry { data, index: Some(2), term: Some(1), r#type: None }));
        let path = wal::folder::segments(&folder).expect("one").remove(0);
        let mut writer =
            wal::Writer::new(File::create(path).expect("a file"), 0).expect("it begins");
        for record in &records {
            if !matches!(record, Record::Crc(_)) {
                writer.append(record).expect("it is written");
            }
        }
    }

    #[test]
    fn the_version_is_noted_changed_and_removed() {
        let version = |minor| Version::new(3, minor);
        for (before, target, after) in [
            (Some("3.7.0"), 6, Some(version(6))),
            (Some("3.7.0"), 5, None),
            (Some("3.6.0"), 7, Some(version(7))),
            (Some("3.6.0"), 6, Some(version(6))),
            (None, 5, None),
            (None, 7, Some(version(7))),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let data_dir = member(folder.path(), before);
            let migrated = Migrate::new(&data_dir, version(target)).run().expect("there is a way");
            assert_eq!(migrated.to, version(target), "{before:?}");
            assert_eq!(noted(&data_dir), after, "{before:?} to {target}");
            let left = fs::read_dir(data_dir.join("member/snap")).expect("it is there").count();
            assert_eq!(left, 2, "the database and a snap file");
        }
    }

    #[test]
    fn a_log_that_an_older_etcd_cannot_read_is_not_left_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = member(folder.path(), Some("3.6.0"));
        add_new_entry(&data_dir);
        let down = Migrate::new(&data_dir, Version::new(3, 5));
        assert_eq!(down.run().unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(noted(&data_dir), Some(Version::new(3, 6)));
        Migrate::new(&data_dir, Version::new(3, 7)).run().expect("it is newer");
        down.force().run().expect("it is forced");
        assert_eq!(noted(&data_dir), None);
    }

    #[test]
    fn versions_without_a_way_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = member(folder.path(), Some("3.6.0"));
        for target in [Version::new(3, 8), Version::new(3, 4), Version::new(4, 0)] {
            let error = Migrate::new(&data_dir, target).run().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{target}: {error}");
        }
    }
}
