//! The request and its steps.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;

use super::cluster::Cluster;
use super::copy::{Check, copy};
use super::folder::Places;
use super::{boot, database, log};
use crate::error::{Error, Result};
use crate::files::{create_file, sync_file};
use crate::progress::{Progress, Stage};
use crate::schema::{Backend, Version};
use crate::snap::SnapName;
use crate::wal::SEGMENT_BYTES;
use crate::wal::folder::SegmentName;

/// Makes the data directory of one member of a new cluster out of a snapshot.
///
/// What it takes, and what comes of it, are `etcdutl snapshot restore`'s: each member of the new cluster is restored from
/// the same snapshot with its own name, and is then started with the same settings. Defaults are etcd's.
///
/// It is better than its model in this: the target appears all at once or not at all, the database is checked page by
/// page and entry by entry before, and [`target_version`](Self::target_version) says at once what etcd would say when it is
/// started. The database also gets the new cluster's `confState`, which etcdutl leaves as it was.
///
/// ```no_run
/// use etcdkit_datadir::Restore;
///
/// let restored = Restore::new("backup.db")
///     .name("m0")
///     .initial_cluster("m0=http://10.0.0.1:2380,m1=http://10.0.0.2:2380,m2=http://10.0.0.3:2380")
///     .initial_advertise_peer_urls(["http://10.0.0.1:2380"])
///     .bump_revision(1_000_000)
///     .run()?;
/// println!("member {:x} of cluster {:x}", restored.member_id, restored.cluster_id);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing happens until `run`"]
pub struct Restore {
    snapshot: PathBuf,
    name: String,
    data_dir: Option<PathBuf>,
    wal_dir: Option<PathBuf>,
    initial_cluster: String,
    initial_cluster_token: String,
    initial_advertise_peer_urls: Vec<String>,
    skip_hash_check: bool,
    bump_revision: u64,
    target_version: Option<Version>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The member's id.
    pub member_id: u64,
    /// Its cluster's id.
    pub cluster_id: u64,
    /// The store's revision when it starts.
    pub revision: i64,
    /// Bytes of the database.
    pub size: u64,
}

impl Restore {
    /// Restores the snapshot at `snapshot`: a file made by `snapshot save`, or with
    /// [`skip_hash_check`](Self::skip_hash_check) a copy of `member/snap/db`.
    pub fn new(snapshot: impl Into<PathBuf>) -> Self {
        Self {
            snapshot: snapshot.into(),
            name: "default".to_owned(),
            data_dir: None,
            wal_dir: None,
            initial_cluster: "default=http://localhost:2380".to_owned(),
            initial_cluster_token: "etcd-cluster".to_owned(),
            initial_advertise_peer_urls: vec!["http://localhost:2380".to_owned()],
            skip_hash_check: false,
            bump_revision: 0,
            target_version: None,
        }
    }

    /// The member's name. `default` by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The data directory, which must not exist or be empty. The name and `.etcd` by default.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// The log's directory, which must not exist. `member/wal` in the data directory by default.
    pub fn wal_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.wal_dir = Some(path.into());
        self
    }

    /// All members of the new cluster, as `name=url,name=url`. `default=http://localhost:2380` by default.
    pub fn initial_cluster(mut self, members: impl Into<String>) -> Self {
        self.initial_cluster = members.into();
        self
    }

    /// The new cluster's token, which tells it apart from others of the same URLs. `etcd-cluster` by default.
    pub fn initial_cluster_token(mut self, token: impl Into<String>) -> Self {
        self.initial_cluster_token = token.into();
        self
    }

    /// The member's own peer URLs, which must be those in the initial cluster. `http://localhost:2380` by default.
    pub fn initial_advertise_peer_urls<U: Into<String>>(
        mut self,
        urls: impl IntoIterator<Item = U>,
    ) -> Self {
        self.initial_advertise_peer_urls = urls.into_iter().map(Into::into).collect();
        self
    }

    /// Takes a database without the trailer that `snapshot save` appends, and does not look at the trailer if there is
    /// one.
    pub const fn skip_hash_check(mut self) -> Self {
        self.skip_hash_check = true;
        self
    }

    /// Moves the revision on by so much, and marks everything before as compacted.
    ///
    /// Clients that saw later revisions than the snapshot's then find out, rather than miss changes. It is what
    /// `--bump-revision` and `--mark-compacted` do, of which neither is of use without the other. 0 does nothing.
    pub const fn bump_revision(mut self, amount: u64) -> Self {
        self.bump_revision = amount;
        self
    }

    /// The version of etcd that will be started on it. A database that it refuses is then refused now.
    pub const fn target_version(mut self, version: Version) -> Self {
        self.target_version = Some(version);
        self
    }

    /// Restores. It blocks the thread until everything is on disk.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for members and URLs that make no sense, `AlreadyExists` for a target that does,
    /// `ChecksumMissing` and `ChecksumMismatch` for a snapshot that is not what was saved, `Refused` where etcd would not
    /// start, `Corrupt` when the database is damaged, else when something cannot be read or written.
    pub fn run(&self) -> Result<Restored> {
        self.run_with_progress(&mut |_| ControlFlow::Continue(()))
    }

    /// Restores, and says how far it is.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and `Cancelled`.
    pub fn run_with_progress(
        &self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Restored> {
        let cluster = Cluster::new(
            &self.name,
            &self.initial_cluster,
            &self.initial_cluster_token,
            &self.initial_advertise_peer_urls,
        )?;
        let data_dir =
            self.data_dir.clone().unwrap_or_else(|| format!("{}.etcd", self.name).into());
        let places = Places::prepare(&data_dir, self.wal_dir.as_deref())?;
        let (revision, size) = self.database(&places.snap().join("db"), &cluster, progress)?;
        let index = cluster.members.len() as u64;
        let snap = places.snap().join(SnapName { term: log::TERM, index }.to_string());
        write_file(&snap, None, |out| log::write_snap(out, &cluster))?;
        let segment = places.wal().join(SegmentName { sequence: 0, index: 0 }.to_string());
        write_file(&segment, Some(SEGMENT_BYTES), |out| log::write_wal(out, &cluster))?;
        places.publish()?;
        let Cluster { member_id, cluster_id, .. } = cluster;
        Ok(Restored { data_dir, member_id, cluster_id, revision, size })
    }

    fn database(
        &self,
        path: &Path,
        cluster: &Cluster,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(i64, u64)> {
        let check = if self.skip_hash_check { Check::Skip } else { Check::Hash };
        let file = copy(&self.snapshot, path, check, progress)?;
        // While the disk stores the copy, its content is looked at.
        let checked = thread::scope(|scope| {
            let syncing = scope.spawn(|| file.sync_data());
            let checked = Backend::open_path(path).and_then(|mut backend| {
                let last = boot::check(&mut backend, self.target_version, progress)?;
                Ok((last, backend.revision()?))
            });
            let panicked = |_| Err(std::io::Error::other("a thread panicked"));
            let synced = syncing.join().unwrap_or_else(panicked);
            synced.map_err(|error| Error::io("cannot sync", error).in_file(path))?;
            checked
        });
        let about = |error: Error| error.in_file(&self.snapshot);
        let (last, mut revision) = checked.map_err(about)?;
        let bump = (self.bump_revision > 0).then_some((last, self.bump_revision));
        let (file, size) = database::rewrite(file, cluster, bump).map_err(about)?;
        if bump.is_some() {
            revision = Backend::open_path(path)?.revision()?;
        }
        Progress { stage: Stage::Syncing, done: 0, total: size }.report(progress)?;
        file.set_len(size).map_err(|error| Error::io("cannot resize", error).in_file(path))?;
        sync_file(&file, path)?;
        Ok((revision, size))
    }
}

/// Writes a file and syncs it. `length` is what it is extended to by zeros, as etcd allocates its log ahead.
fn write_file(
    path: &Path,
    length: Option<u64>,
    content: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let mut out = BufWriter::new(create_file(path)?);
    content(&mut out).map_err(|error| error.in_file(path))?;
    let file = out
        .into_inner()
        .map_err(|error| Error::io("cannot write", error.into_error()).in_file(path))?;
    if let Some(length) = length {
        let written = file.metadata().map_err(|error| Error::io("cannot read", error))?.len();
        let resized = file.set_len(length.max(written));
        resized.map_err(|error| Error::io("cannot resize", error).in_file(path))?;
    }
    sync_file(&file, path)
}
