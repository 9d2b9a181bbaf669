//! A file that nobody finds and that goes with its handle.

use std::env::temp_dir;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names that may be taken, by processes of that number before, until something else must be wrong.
const TRIES: usize = 100;

/// A file without a name, where the system has that; else one that is removed with this.
#[derive(Debug)]
pub(super) struct Scratch {
    file: Option<File>,
    path: PathBuf,
}

impl Scratch {
    /// Creates it in the system's folder for such files.
    pub(super) fn new() -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // It holds what only some may read.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        for _ in 0..TRIES {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = temp_dir().join(format!("etcdkit-{}-{count}", std::process::id()));
            match options.open(&path) {
                Ok(file) => {
                    if cfg!(unix) {
                        fs::remove_file(&path)?;
                    }
                    return Ok(Self { file: Some(file), path });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    pub(super) fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.file = None;
        if !cfg!(unix) {
            // Whoever cleans the folder finds what cannot be removed here.
            let _ = fs::remove_file(&self.path);
        }
    }
}
