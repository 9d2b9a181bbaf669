//! A file that is not there under its name before it is whole. Files block, so they are written on tokio's blocking
//! threads, one piece at a time.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::newest::newest_revision;
use super::{CHUNK, Existing};
use crate::error::{Error, ErrorKind, Result};
use crate::revision::Revision;

/// How many drafts of one file may lie beside it: of those that write it now, and of those that were killed.
const MOST: u32 = 16;

/// A file beside the one that it is to become. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Draft {
    target: PathBuf,
    existing: Existing,
    part: Part,
    /// Not there while a piece is being written.
    file: Option<File>,
    buffer: Vec<u8>,
}

/// The name of the draft, as long as there is a file behind it. Nobody else takes a name that is taken, so that what is
/// behind it stays our own.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    is_there: bool,
}

impl Part {
    /// Makes the file: `name.part`, or if another lies there `name.2.part` and so on.
    fn create(target: &Path) -> Result<(Self, File)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        for number in 1..=MOST {
            let mut name = OsString::from(target);
            if number > 1 {
                name.push(format!(".{number}"));
            }
            name.push(".part");
            let path = PathBuf::from(name);
            match options.open(&path) {
                Ok(file) => return Ok((Self { path, is_there: true }, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let message = format!("{} can't be written", path.display());
                    return Err(Error::invalid(message).with_source(error));
                }
            }
        }
        let what = format!(
            "is being written, or was left by what was killed, {MOST} times over: remove its files `.part`"
        );
        Err(Error::new(ErrorKind::Conflict, format!("{} {what}", target.display())))
    }

    /// Gives the file its own name. Unless it fails, the draft's is gone.
    fn publish(self, target: &Path, existing: Existing) -> Result<()> {
        let renamed = match existing {
            Existing::Replaced => self.rename(target),
            // Unlike renaming, linking never replaces anything.
            Existing::Kept => match fs::hard_link(&self.path, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(exists(target, "it has come to be while the snapshot was read"));
                }
                // A file system without links.
                Err(_) => self.rename(target),
                Ok(()) => Ok(()),
            },
        };
        renamed.map_err(|error| failed(target, error))
    }

    /// Gives the file another name, in the place of what has it.
    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.is_there = false;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_there {
            // A file that can't be removed is as one of a program that was killed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Draft {
    pub(super) async fn create(target: PathBuf, existing: Existing) -> Result<Self> {
        blocking(move || {
            match target.symlink_metadata() {
                Ok(there) if there.is_dir() => {
                    return Err(exists(&target, "it is a folder: name a file in it"));
                }
                Ok(_) if existing == Existing::Kept => {
                    return Err(exists(&target, "it would be overwritten: choose another name"));
                }
                _ => {}
            }
            let (part, file) = Part::create(&target)?;
            let buffer = Vec::with_capacity(CHUNK);
            Ok(Self { target, existing, part, file: Some(file), buffer })
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

    /// Gives it its name, unless something has that name by now that is to be kept.
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
        let Self { target, existing, part, file, .. } = self;
        drop(file);
        blocking(move || {
            let folder = File::open(folder(&target)).map_err(|error| failed(&target, error))?;
            part.publish(&target, existing)?;
            sync(&folder).map_err(|error| {
                // What it replaced is gone for good: better this than nothing.
                if existing == Existing::Kept {
                    let _ = fs::remove_file(&target);
                }
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
        let path = self.part.path.clone();
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

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
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
        let mut draft = Draft::create(target.clone(), Existing::Kept).await.unwrap();
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
            let target = folder.0.join(number.to_string());
            let draft = Draft::create(target.clone(), Existing::Kept).await.unwrap();
            let sync = move |file: &File| match file.metadata()?.is_dir() == broken {
                true => Err(io::Error::other("no")),
                false => file.sync_all(),
            };
            let error = draft.publish_synced_by(sync).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
            assert!(error.to_string().contains(&format!("{number}")), "{error}");
            assert!(folder.names().is_empty());
        }
        // What replaced another file stays: that one is gone.
        let target = folder.0.join("2");
        fs::write(&target, "old").unwrap();
        let draft = Draft::create(target.clone(), Existing::Replaced).await.unwrap();
        let sync = |file: &File| match file.metadata()?.is_dir() {
            true => Err(io::Error::other("no")),
            false => file.sync_all(),
        };
        draft.publish_synced_by(sync).await.unwrap_err();
        assert_eq!(folder.names(), ["2"]);
    }

    /// What a killed program left behind is nobody's any more, but nobody can know.
    #[tokio::test]
    async fn a_draft_that_was_left_behind_stops_nobody() {
        let folder = Folder::new("draft-stale");
        let target = folder.0.join("a");
        fs::write(folder.0.join("a.part"), "old").unwrap();
        let mut draft = Draft::create(target.clone(), Existing::Kept).await.unwrap();
        assert_eq!(folder.names(), ["a.2.part", "a.part"]);
        draft.add(b"new").await.unwrap();
        draft.flush().await.unwrap();
        draft.publish().await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(folder.names(), ["a", "a.part"]);

        let other = folder.0.join("b");
        let mut drafts = Vec::new();
        for _ in 0..MOST {
            drafts.push(Draft::create(other.clone(), Existing::Kept).await.unwrap());
        }
        let error = Draft::create(other, Existing::Kept).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        drop(drafts);
        assert_eq!(folder.names(), ["a", "a.part"]);
    }

    /// Two that save under one name at a time: each file is whole, and the later one stays.
    #[tokio::test]
    async fn what_is_there_is_replaced_where_that_is_wanted() {
        let folder = Folder::new("draft-replaced");
        let target = folder.0.join("a");
        let mut drafts = Vec::new();
        for text in ["one", "two"] {
            let mut draft = Draft::create(target.clone(), Existing::Replaced).await.unwrap();
            draft.add(text.as_bytes()).await.unwrap();
            draft.flush().await.unwrap();
            drafts.push(draft);
        }
        for (draft, text) in drafts.into_iter().zip(["one", "two"]) {
            draft.publish().await.unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), text);
        }
        assert_eq!(folder.names(), ["a"]);

        // A folder is not, and nothing is left beside it.
        let inner = folder.0.join("folder");
        let draft = Draft::create(inner.clone(), Existing::Replaced).await.unwrap();
        fs::create_dir(&inner).unwrap();
        assert!(draft.publish().await.is_err());
        let error = Draft::create(inner, Existing::Replaced).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(folder.names(), ["a", "folder"]);

        // Of a link, what is replaced is the link, also where it leads nowhere.
        #[cfg(unix)]
        {
            let link = folder.0.join("link");
            for to in ["nowhere", "a"] {
                let _ = fs::remove_file(&link);
                std::os::unix::fs::symlink(to, &link).unwrap();
                let draft = Draft::create(link.clone(), Existing::Replaced).await.unwrap();
                draft.publish().await.unwrap();
                assert!(link.symlink_metadata().unwrap().is_file(), "{to}");
            }
            assert_eq!(fs::read_to_string(&target).unwrap(), "two");
        }
    }
}
