//! Names, modes and syncing of files.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Parses names such as `0000000000000001-00000000000001f4.wal`.
pub(crate) fn parse_pair(name: &str, suffix: &str) -> Option<(u64, u64)> {
    let (first, second) = name.strip_suffix(suffix)?.split_once('-')?;
    let number = |text: &str| {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digits { u64::from_str_radix(text, 16).ok() } else { None }
    };
    Some((number(first)?, number(second)?))
}

/// Creates a file that only its owner may read, and that must not exist.
pub(crate) fn create_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| Error::io("cannot create", error).in_file(path))
}

/// Creates a folder that only its owner may enter, and that must not exist.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there is no mode to set"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Error::io("cannot create", error).in_file(path))
}

/// Has the file system find room for a file in one go, where it can; it costs nothing where it can't.
pub(crate) fn allocate(file: &File, length: u64) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if length > 0 {
        use rustix::fs::{FallocateFlags, fallocate};
        let _ = fallocate(file, FallocateFlags::empty(), 0, length);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (file, length);
}

pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    file.sync_all().map_err(|error| Error::io("cannot sync", error).in_file(path))
}

/// Makes the names in a folder durable. Elsewhere than on Unix a folder cannot be opened, and need not be.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder =
            File::open(path).map_err(|error| Error::io("cannot open", error).in_file(path))?;
        sync_file(&folder, path)?;
    }
    Ok(())
}

/// Takes bbolt's lock, which a running etcd holds.
pub(crate) fn lock(file: &File, path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{FlockOperation, flock};
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(crate::defragment::in_use(path)),
            Err(error) => return Err(Error::io("cannot lock", error.into()).in_file(path)),
        }
    }
    #[cfg(not(unix))]
    let _ = (file, path);
    Ok(())
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file or folder under a name of its own next to its target, removed unless it is [published](Self::publish).
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Draft {
    /// Where the draft of `target` goes. Nothing is created.
    pub(crate) fn of(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::invalid(format!("{} has no name", target.display())))?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".etcdkit-{}", std::process::id()));
        let path = parent(target).join(draft);
        if path.symlink_metadata().is_ok() {
            let message = "left over from a run that was killed, or another one is at work";
            return Err(Error::new(crate::ErrorKind::AlreadyExists, message).in_file(&path));
        }
        Ok(Self { path, target: target.to_owned(), published: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name for good, and makes that durable. The target must not exist, or be an empty folder if the
    /// draft is one.
    pub(crate) fn publish(mut self) -> Result<()> {
        fs::rename(&self.path, &self.target)
            .map_err(|error| Error::io("cannot rename", error).in_file(&self.target))?;
        self.published = true;
        sync_folder(&parent(&self.target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // Nothing more can be done about a failure here; the error that led here is what counts.
        let _ = match self.path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&self.path),
            Ok(_) => fs::remove_file(&self.path),
            Err(_) => Ok(()),
        };
    }
}
