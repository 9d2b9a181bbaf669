//! A file that counts its syncs and remembers its first failure.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::storage::StorageError;

/// What happened to a file, whatever database was open on it.
#[derive(Debug, Default)]
pub(super) struct Record {
    syncs: AtomicU64,
    length: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug)]
enum Failure {
    /// There was no room for a write. It was the first failure, so that what was synced before still stands.
    Full(String),
    /// Anything else.
    Broken(String),
}

impl Record {
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    /// What failed since the last call; `otherwise` if nothing did.
    pub(super) fn failure(&self, otherwise: impl Into<String>) -> StorageError {
        match self.lock().take() {
            Some(Failure::Full(what)) => StorageError::Full(what),
            Some(Failure::Broken(what)) => StorageError::Broken(what),
            None => StorageError::Broken(otherwise.into()),
        }
    }

    /// Forgets a failure that did no harm.
    pub(super) fn forgive(&self) {
        self.lock().take();
    }

    fn note<T>(&self, what: &str, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome {
            let text = format!("{what}: {error}");
            let mut failure = self.lock();
            let room = matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            );
            // A sync that finds no room lost what the system had taken over already.
            if room && what != SYNC {
                failure.get_or_insert(Failure::Full(text));
            } else if !matches!(*failure, Some(Failure::Broken(_))) {
                *failure = Some(Failure::Broken(text));
            }
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SYNC: &str = "sync";

/// A file under a record's eyes.
#[derive(Debug)]
pub(super) struct Watched {
    file: Box<dyn StorageBackend>,
    record: Arc<Record>,
}

impl Watched {
    pub(super) fn new(file: Box<dyn StorageBackend>, record: Arc<Record>) -> io::Result<Self> {
        let length = record.note("length", file.len())?;
        record.length.store(length, Ordering::Relaxed);
        Ok(Self { file, record })
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.record.note("length", self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.record.note("read", self.file.read(offset, out))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.record.note("resize", self.file.set_len(length))?;
        self.record.length.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.record.note(SYNC, self.file.sync_data())?;
        self.record.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.record.note("write", self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
