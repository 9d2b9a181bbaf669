//! Putting folders in their places, all or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Draft, create_folder, parent, sync_folder};

/// Folders that were created on the way to a target, removed again unless they are kept.
#[derive(Debug, Default)]
pub(super) struct Parents {
    created: Vec<PathBuf>,
}

impl Parents {
    /// Creates what is missing above `target`.
    pub(super) fn create(&mut self, target: &Path) -> Result<()> {
        let mut missing = Vec::new();
        let mut folder = parent(target);
        while !folder.exists() {
            missing.push(folder.clone());
            folder = parent(&folder);
        }
        for folder in missing.into_iter().rev() {
            create_folder(&folder)?;
            sync_folder(&parent(&folder))?;
            self.created.push(folder);
        }
        Ok(())
    }

    pub(super) fn keep(mut self) {
        self.created.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for folder in self.created.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Where a member's files go until all of them are complete.
#[derive(Debug)]
pub(super) struct Places {
    data: Draft,
    /// The log's own folder, where it is not within the data directory.
    log: Option<(Draft, PathBuf)>,
    log_path: PathBuf,
    parents: Parents,
}

impl Places {
    pub(super) fn prepare(data_dir: &Path, wal_dir: Option<&Path>) -> Result<Self> {
        absent_or_empty(data_dir)?;
        let mut parents = Parents::default();
        parents.create(data_dir)?;
        let data = Draft::of(data_dir)?;
        create_folder(data.path())?;
        create_folder(&data.path().join("member"))?;
        create_folder(&data.path().join("member").join("snap"))?;
        let within = match wal_dir {
            None => Some(PathBuf::from("member/wal")),
            Some(wal_dir) => wal_dir.strip_prefix(data_dir).ok().map(Path::to_owned),
        };
        let (log, log_path) = match (within, wal_dir) {
            (Some(within), _) => {
                let path = data.path().join(&within);
                for folder in within.ancestors().collect::<Vec<_>>().into_iter().rev() {
                    let folder = data.path().join(folder);
                    if !folder.exists() {
                        create_folder(&folder)?;
                    }
                }
                (None, path)
            }
            (None, Some(wal_dir)) => {
                if wal_dir.symlink_metadata().is_ok() {
                    return Err(exists("the WAL directory exists").in_file(wal_dir));
                }
                parents.create(wal_dir)?;
                let draft = Draft::of(wal_dir)?;
                create_folder(draft.path())?;
                let path = draft.path().to_owned();
                (Some((draft, wal_dir.to_owned())), path)
            }
            (None, None) => (None, data.path().join("member").join("wal")),
        };
        Ok(Self { data, log, log_path, parents })
    }

    pub(super) fn snap(&self) -> PathBuf {
        self.data.path().join("member").join("snap")
    }

    pub(super) fn wal(&self) -> &Path {
        &self.log_path
    }

    /// Syncs the folders and gives them their names.
    pub(super) fn publish(self) -> Result<()> {
        sync_folder(&self.snap())?;
        let mut folder = self.log_path.as_path();
        loop {
            sync_folder(folder)?;
            match folder.parent() {
                Some(parent) if parent.starts_with(self.data.path()) => folder = parent,
                _ => break,
            }
        }
        sync_folder(&self.data.path().join("member"))?;
        sync_folder(self.data.path())?;
        match self.log {
            Some((log, target)) => {
                // Taking the name first keeps others from it: only one can create a folder.
                create_folder(&target)?;
                let published = log.publish().and_then(|()| self.data.publish());
                if published.is_err() {
                    let _ = fs::remove_dir_all(&target);
                }
                published?;
            }
            None => self.data.publish()?,
        }
        self.parents.keep();
        Ok(())
    }
}

fn exists(message: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, message)
}

fn absent_or_empty(data_dir: &Path) -> Result<()> {
    match fs::read_dir(data_dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(exists("the data directory exists and is not empty").in_file(data_dir)),
        Err(_) if data_dir.symlink_metadata().is_err() => Ok(()),
        Err(error) => {
            let message = "the data directory exists and cannot be read";
            Err(exists(message).caused_by(error).in_file(data_dir))
        }
    }
}
