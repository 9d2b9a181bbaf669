//! A file that is not there under its name before it is whole. Files block, so they are written on tokio's blocking
//! threads, one piece at a time.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::CHUNK;
use super::newest::newest_revision;
use crate::error::{Error, ErrorKind, Result};
use crate::revision::Revision;

/// A file beside the one that it is to become. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Draft {
    target: PathBuf,
    part: Part,
    /// Not there while a piece is being written.
    file: Option<File>,
    buffer: Vec<u8>,
}

/// The name of the draft, as long as there is a file behind it.
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After `publish` there is nothing left to remove.
        let _ = fs::remove_file(&self.0);
    }
}

impl Draft {
    pub(super) async fn create(target: PathBuf) -> Result<Self> {
        blocking(move || {
            if target.symlink_metadata().is_ok() {
                return Err(exists(&target, "it would be overwritten: choose another name"));
            }
            let mut name = OsString::from(&target);
            name.push(".part");
            let path = PathBuf::from(name);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.open(&path) {
                Ok(file) => {
                    let part = Part(path);
                    Ok(Self { target, part, file: Some(file), buffer: Vec::with_capacity(CHUNK) })
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(exists(&path, "another process writes it, or one was killed: remove it"))
                }
                Err(error) => {
                    let message = format!("{} can't be written", path.display());
                    Err(Error::invalid(message).with_source(error))
                }
            }
        })
        .await
    }

    /// Adds bytes; they are written when there are many.
    pub(super) async fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = self
            .on_file(move |file| {
                file.write_all(&buffer)?;
                let mut buffer = buffer;
                buffer.clear();
                Ok(buffer)
            })
            .await?;
        Ok(())
    }

    /// The last revision in what was written, if it is etcd's backend and holds any.
    pub(super) async fn newest_revision(&mut self) -> Result<Option<Revision>> {
        self.on_file(|file| Ok(newest_revision(file).map(Revision::new))).await
    }

    /// Forgets what was written.
    pub(super) async fn rewind(&mut self) -> Result<()> {
        self.buffer.clear();
        self.on_file(|file| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0)).map(drop)
        })
        .await
    }

    /// Gives it its name, unless something has that name by now.
    pub(super) async fn publish(self) -> Result<()> {
        self.publish_synced_by(File::sync_all).await
    }

    /// First what is in the file is made to last, and when the file has its name, that. Where that fails it has none again.
    async fn publish_synced_by(
        mut self,
        sync: impl Fn(&File) -> io::Result<()> + Clone + Send + 'static,
    ) -> Result<()> {
        let sync_file = sync.clone();
        self.on_file(move |file| sync_file(file)).await?;
        let Self { target, part, file, .. } = self;
        drop(file);
        blocking(move || {
            let folder = File::open(folder(&target)).map_err(|error| failed(&target, error))?;
            // Unlike renaming, linking never replaces anything.
            match fs::hard_link(&part.0, &target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(exists(&target, "it has come to be while the snapshot was read"));
                }
                // A file system without links.
                Err(_) => fs::rename(&part.0, &target).map_err(|error| failed(&target, error))?,
            }
            drop(part);
            sync(&folder).map_err(|error| {
                let _ = fs::remove_file(&target);
                failed(&target, error)
            })
        })
        .await
    }

    async fn on_file<R: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut File) -> io::Result<R> + Send + 'static,
    ) -> Result<R> {
        let Some(mut file) = self.file.take() else {
            return Err(Error::internal("a draft without a file"));
        };
        let path = self.part.0.clone();
        let (file, outcome) = blocking(move || {
            let outcome = act(&mut file).map_err(|error| failed(&path, error));
            Ok((file, outcome))
        })
        .await?;
        self.file = Some(file);
        outcome
    }
}

/// Where the name stands.
fn folder(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn exists(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("{} exists: {what}", path.display()))
}

fn failed(path: &Path, error: io::Error) -> Error {
    let message = format!("{} could not be written", path.display());
    Error::new(ErrorKind::ResourceExhausted, message).with_source(error)
}

async fn blocking<R: Send + 'static>(
    act: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::internal("writing a file failed").with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A folder of the test's own, removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("etcdkit-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Upstream renames a file that it has synced, and forgets the folder: after a crash the name may be gone.
    #[tokio::test]
    async fn the_name_of_a_snapshot_lasts_as_well_as_what_is_in_it() {
        let folder = Folder::new("draft-synced");
        let target = folder.0.join("snapshot.db");
        let mut draft = Draft::create(target.clone()).await.unwrap();
        draft.add(b"abc").await.unwrap();
        draft.flush().await.unwrap();
        let synced = Arc::new(Mutex::new(Vec::new()));
        let (noted, name) = (Arc::clone(&synced), target.clone());
        let sync = move |file: &File| {
            let what = file.metadata()?;
            noted.lock().unwrap().push((what.is_dir(), what.len(), name.exists()));
            file.sync_all()
        };
        draft.publish_synced_by(sync).await.unwrap();
        let folder_length = fs::metadata(&folder.0).unwrap().len();
        // The file before it has its name, and the folder after.
        assert_eq!(*synced.lock().unwrap(), [(false, 3, false), (true, folder_length, true)]);
        assert_eq!(fs::read(target).unwrap(), b"abc");
    }

    /// A copy that may not last is no copy: it was told, and stood there under its name.
    #[tokio::test]
    async fn what_can_not_be_synced_is_told_and_not_there() {
        let folder = Folder::new("draft-unsynced");
        for (number, broken) in [false, true].into_iter().enumerate() {
            let draft = Draft::create(folder.0.join(number.to_string())).await.unwrap();
            let sync = move |file: &File| match file.metadata()?.is_dir() == broken {
                true => Err(io::Error::other("no")),
                false => file.sync_all(),
            };
            let error = draft.publish_synced_by(sync).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
            assert!(error.to_string().contains(&format!("{number}")), "{error}");
            assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
        }
    }
}
