//! The folder: its lock, and the file in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::store::{self, Medium};
use crate::storage::StorageError;

/// The database.
const FILE: &str = "etcdkit.redb";
/// One that is not complete yet.
const DRAFT: &str = "etcdkit.redb.new";
/// The file that is locked. Apart from the database, which may be replaced.
const LOCK: &str = "lock";

/// A folder that nobody else has open.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Takes possession of a folder, with a database in it: the one that is there, or a fresh one.
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        if path.join("member").is_dir() {
            return Err(StorageError::Unsupported(format!(
                "{} is a data directory of etcd; save a snapshot of it and start from that",
                path.display()
            )));
        }
        create_folder(path)?;
        let lock = lock(path)?;
        let folder = Self { path: path.to_owned(), lock };
        if !folder.file().exists() {
            folder.create()?;
        }
        Ok(folder)
    }

    /// Whether there is a database in a folder.
    pub(super) fn is_there(path: &Path) -> bool {
        path.join(FILE).exists()
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// A database appears under its name when it is complete: whoever finds the file finds a database.
    fn create(&self) -> Result<(), StorageError> {
        let draft = self.path.join(DRAFT);
        let file = private().read(true).create(true).truncate(true).open(&draft);
        let file = file.map_err(|error| failed("create", &draft, &error))?;
        let backend = FileBackend::new(file)
            .map_err(|error| StorageError::Broken(format!("{}: {error}", draft.display())))?;
        store::create(Box::new(backend))?;
        fs::rename(&draft, self.file()).map_err(|error| failed("rename", &draft, &error))?;
        sync(&self.path)?;
        // The folder's own name may be as new as the file's.
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
            _ => sync(Path::new(".")),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file gives the lock back only with the last copy, and a process that is just being started by
        // another thread has one for a moment.
        let _ = self.lock.unlock();
    }
}

impl Medium for Folder {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = File::options().read(true).write(true).open(self.file())?;
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }

    fn name(&self) -> String {
        self.file().display().to_string()
    }
}

/// What is stored is for the server's user alone: there are passwords' hashes in it.
fn create_folder(path: &Path) -> Result<(), StorageError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| failed("create", path, &error))
}

fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lock(path: &Path) -> Result<File, StorageError> {
    let path = path.join(LOCK);
    let file = private().create(true).truncate(false).open(&path);
    let file = file.map_err(|error| failed("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse(format!(
            "{} is locked: stop the other server, or use another folder",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
    }
}

/// Makes the names in a folder durable. Elsewhere than on Unix a folder cannot be opened, and need not be.
fn sync(path: &Path) -> Result<(), StorageError> {
    if cfg!(unix) {
        let folder = File::open(path).map_err(|error| failed("open", path, &error))?;
        folder.sync_all().map_err(|error| failed("sync", path, &error))?;
    }
    Ok(())
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StorageError {
    let text = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full(text),
        _ => StorageError::Broken(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_closed_is_free_while_a_new_process_has_a_copy_of_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path()).unwrap();
        let copy = first.lock.try_clone().unwrap();
        drop(first);
        Folder::open(folder.path()).unwrap();
        drop(copy);
    }
}
