//! The storage on redb.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::{
    Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError,
};

use super::folder::Folder;
use super::watched::{Record, Watched};
use crate::storage::{Batch, Bucket, Load, Source, Storage, StorageError};

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Result<T, E = StorageError> = std::result::Result<T, E>;

/// What is said about the database itself. No bucket of etcd's has this name.
const ABOUT: Table = TableDefinition::new("etcdkit");
/// The format's version, four bytes.
const FORMAT: &[u8] = b"format";
/// The number of batches, eight bytes: it tells whether a batch got through whose outcome was an error.
const COMMITS: &[u8] = b"commits";

/// The newest format that is known: one table for each bucket, and [`ABOUT`].
const VERSION: u32 = 1;

/// Memory for pages. Everything is read from the state; what is read here is the way to where a batch is written.
const CACHE: usize = 16 * 1024 * 1024;

/// Keeps everything in a folder, so that it survives the process and the machine.
///
/// What a server has answered is on the disk: each batch of changes is one transaction, which ends with one sync. One
/// storage at a time can have a folder open, in this process or another.
///
/// ```
/// use etcdkit_server::storage::{Batch, Bucket, Disk, Storage, StorageError};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("data");
/// let mut disk = Disk::open(&path)?;
/// assert!(matches!(Disk::open(&path), Err(StorageError::InUse(_))));
///
/// let mut batch = Batch::default();
/// batch.put(Bucket::Meta, "term", 2_u64.to_be_bytes());
/// disk.commit(&batch)?;
/// drop(disk);
///
/// let mut found = 0;
/// Disk::open(&path)?.load(&mut |bucket, key, _| {
///     assert_eq!((bucket, key), (Bucket::Meta, &b"term"[..]));
///     found += 1;
///     Ok(())
/// })?;
/// assert_eq!(found, 1);
/// # Ok::<(), StorageError>(())
/// ```
pub struct Disk {
    /// `None` once it is broken. Closed before the medium is let go.
    database: Option<Database>,
    medium: Box<dyn Medium>,
    record: Arc<Record>,
    commits: u64,
}

/// Where the database's bytes are.
pub(crate) trait Medium: Send + fmt::Debug {
    /// The file. It is not open twice at a time.
    fn open(&self) -> std::io::Result<Box<dyn StorageBackend>>;

    /// What messages call it.
    fn name(&self) -> String;
}

impl Disk {
    /// Opens the storage in a folder. Creates both if they are not there.
    ///
    /// It blocks. After a power cut or a kill it reads the whole file to see what is whole.
    ///
    /// # Errors
    ///
    /// [`InUse`](StorageError::InUse) when another storage has the folder open, [`Corrupt`](StorageError::Corrupt) when
    /// the file is damaged, [`Unsupported`](StorageError::Unsupported) when a newer version or etcd itself made the folder,
    /// else what the system refused.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::on(Box::new(Folder::open(folder.as_ref())?))
    }

    /// Whether [`open`](Self::open) would find a storage in a folder, rather than create one.
    ///
    /// ```
    /// use etcdkit_server::storage::{Disk, StorageError};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// assert!(!Disk::exists(folder.path()));
    /// Disk::open(folder.path())?;
    /// assert!(Disk::exists(folder.path()));
    /// # Ok::<(), StorageError>(())
    /// ```
    #[must_use]
    pub fn exists(folder: impl AsRef<Path>) -> bool {
        Folder::is_there(folder.as_ref())
    }

    /// Opens the database on a medium that holds one.
    pub(crate) fn on(medium: Box<dyn Medium>) -> Result<Self> {
        let record = Arc::default();
        let (database, commits) = reopen(&*medium, &record)?;
        Ok(Self { medium, record, database: Some(database), commits })
    }

    fn database(&self) -> Result<&Database> {
        let broken = || StorageError::Broken("an earlier write or sync failed".to_owned());
        self.database.as_ref().ok_or_else(broken)
    }

    /// Finds out where an operation left the file that ended with an error. It may have got through all the same.
    fn recover(&mut self, error: &redb::Error) -> Result<()> {
        let failure = self.record.failure(error.to_string());
        self.close();
        let StorageError::Full(_) = failure else { return Err(failure) };
        let (database, commits) = reopen(&*self.medium, &self.record)
            .map_err(|error| StorageError::Broken(format!("{failure}; then {error}")))?;
        let ahead = commits.checked_sub(self.commits);
        if ahead.is_none_or(|ahead| ahead > 1) {
            let text = format!("batch {} follows batch {}", commits, self.commits);
            return Err(StorageError::Broken(text));
        }
        self.database = Some(database);
        self.commits = commits;
        if ahead == Some(1) { Ok(()) } else { Err(failure) }
    }

    /// Lets go of the database, and of whatever it has cached.
    fn close(&mut self) {
        let database = self.database.take();
        // Whatever comes of it, it is closed.
        let _ = guarded("closing", || {
            drop(database);
            Ok(())
        });
    }

    /// Ends what was tried: with what it came to, or with what is known of the file after a failure.
    fn settle<T>(&mut self, outcome: Result<Result<T, redb::Error>>) -> Result<()> {
        match outcome {
            Ok(Ok(_)) => {
                self.record.forgive();
                Ok(())
            }
            Ok(Err(error)) => self.recover(&error),
            Err(error) => {
                self.close();
                Err(StorageError::Broken(error.to_string()))
            }
        }
    }

    /// Writes what comes as one transaction. Either failure may be the source's, or redb's.
    fn pour(
        &self,
        database: &Database,
        source: &mut Source<'_>,
    ) -> Result<Result<(), redb::Error>> {
        let write = match database.begin_write() {
            Ok(write) => write,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut failed = None;
        let mut open = None;
        let poured = source(&mut |bucket, key, value| {
            let mut put = || -> Result<(), redb::Error> {
                // The entries of a bucket come one after the other.
                if !matches!(&open, Some((last, _)) if *last == bucket) {
                    open = None;
                    open = Some((bucket, write.open_table(table(bucket))?));
                }
                if let Some((_, table)) = &mut open {
                    table.insert(key, value)?;
                }
                Ok(())
            };
            put().map_err(|error| {
                let text = error.to_string();
                failed = Some(error);
                StorageError::Broken(text)
            })
        });
        drop(open);
        match (failed, poured) {
            (Some(error), _) => Ok(Err(error)),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(self.end(write)),
        }
    }

    fn write(&self, database: &Database, batch: &Batch) -> Result<(), redb::Error> {
        let write = database.begin_write()?;
        for bucket in Bucket::ALL {
            let mut operations =
                batch.operations().iter().filter(|operation| operation.bucket == bucket).peekable();
            if operations.peek().is_none() {
                continue;
            }
            let mut table = write.open_table(table(bucket))?;
            for operation in operations {
                let key = operation.key.as_slice();
                match &operation.value {
                    Some(value) => drop(table.insert(key, value.as_slice())?),
                    None => drop(table.remove(key)?),
                }
            }
        }
        self.end(write)
    }

    fn end(&self, write: redb::WriteTransaction) -> Result<(), redb::Error> {
        let next = (self.commits + 1).to_be_bytes();
        write.open_table(ABOUT)?.insert(COMMITS, next.as_slice())?;
        // The default durability: it returns after a sync.
        write.commit()?;
        Ok(())
    }
}

impl Storage for Disk {
    fn load(&mut self, each: &mut Load<'_>) -> Result<()> {
        let database = self.database()?;
        guarded(&self.medium.name(), || load(database, &*self.medium, each))
    }
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let database = self.database()?;
        let outcome = guarded(&self.medium.name(), || Ok(self.write(database, batch)));
        self.commits += u64::from(matches!(outcome, Ok(Ok(()))));
        self.settle(outcome)
    }

    fn fill(&mut self, source: &mut Source<'_>) -> Result<()> {
        let database = self.database()?;
        // What the source says is not about this file.
        let mut refused = None;
        let outcome = guarded(&self.medium.name(), || {
            Ok(match self.pour(database, source) {
                Ok(outcome) => outcome.map(|()| true),
                Err(error) => {
                    refused = Some(error);
                    Ok(false)
                }
            })
        });
        self.commits += u64::from(matches!(outcome, Ok(Ok(true))));
        self.settle(outcome)?;
        refused.map_or(Ok(()), Err)
    }

    fn size(&self) -> Option<u64> {
        Some(self.record.length())
    }

    fn syncs(&self) -> u64 {
        self.record.syncs()
    }

    fn defragment(&mut self) -> Result<()> {
        self.database()?;
        let Some(database) = &mut self.database else { return Ok(()) };
        let name = self.medium.name();
        let outcome = guarded(&name, || Ok(database.compact().map_err(redb::Error::from)));
        self.settle(outcome)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("medium", &self.medium).finish_non_exhaustive()
    }
}

const fn table(bucket: Bucket) -> Table {
    TableDefinition::new(bucket.name())
}

/// Makes an empty database, complete and synced.
pub(crate) fn create(file: Box<dyn StorageBackend>) -> Result<()> {
    let record = Arc::default();
    let make = || -> Result<(), redb::Error> {
        let file = Watched::new(file, Arc::clone(&record))?;
        let database = Database::builder().set_cache_size(CACHE).create_with_backend(file)?;
        let write = database.begin_write()?;
        let mut about = write.open_table(ABOUT)?;
        about.insert(FORMAT, VERSION.to_be_bytes().as_slice())?;
        about.insert(COMMITS, 0_u64.to_be_bytes().as_slice())?;
        drop(about);
        write.commit()?;
        Ok(())
    };
    make().map_err(|error| record.failure(error.to_string()))
}

/// Reads every bucket.
fn load(database: &Database, medium: &dyn Medium, each: &mut Load<'_>) -> Result<()> {
    let read = database.begin_read().map_err(|error| damaged(medium, error))?;
    for bucket in Bucket::ALL {
        let table = match read.open_table(table(bucket)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(damaged(medium, error)),
        };
        for entry in table.iter().map_err(|error| damaged(medium, error))? {
            let (key, value) = entry.map_err(|error| damaged(medium, error))?;
            each(bucket, key.value(), value.value())?;
        }
    }
    Ok(())
}

/// Opens a database that was created, and says how many batches it holds.
fn reopen(medium: &dyn Medium, record: &Arc<Record>) -> Result<(Database, u64)> {
    record.forgive();
    guarded(&medium.name(), || open(medium, record))
}

fn open(medium: &dyn Medium, record: &Arc<Record>) -> Result<(Database, u64)> {
    let file = medium
        .open()
        .and_then(|file| Watched::new(file, Arc::clone(record)))
        .map_err(|error| StorageError::Broken(format!("{}: {error}", medium.name())))?;
    if record.length() == 0 {
        return Err(StorageError::Corrupt(format!("{} is empty", medium.name())));
    }
    let database = Database::builder().set_cache_size(CACHE).create_with_backend(file);
    let database = database.map_err(|error| match error {
        redb::DatabaseError::UpgradeRequired(version) => {
            StorageError::Unsupported(format!("{}: redb's file format {version}", medium.name()))
        }
        error => damaged(medium, error),
    })?;
    let read = database.begin_read().map_err(|error| damaged(medium, error))?;
    let about = read.open_table(ABOUT).map_err(|error| damaged(medium, error))?;
    let number = |key| -> Result<Vec<u8>> {
        let value = about.get(key).map_err(|error| damaged(medium, error))?;
        Ok(value.map(|value| value.value().to_vec()).unwrap_or_default())
    };
    let format = number(FORMAT)?.try_into().map(u32::from_be_bytes);
    let commits = number(COMMITS)?.try_into().map(u64::from_be_bytes);
    let (Ok(format), Ok(commits)) = (format, commits) else {
        return Err(StorageError::Corrupt(format!("{} does not say its format", medium.name())));
    };
    if format != VERSION {
        return Err(StorageError::Unsupported(format!(
            "{} has format {format}, and this version knows {VERSION}; open it with a newer etcdkit",
            medium.name()
        )));
    }
    Ok((database, commits))
}

/// redb panics on some of what it does not expect in a file. Here that is an error.
fn guarded<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // A database that panicked is not used any more.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StorageError::Corrupt(format!("{name} is damaged"))))
}

fn damaged(medium: &dyn Medium, error: impl Into<redb::Error>) -> StorageError {
    let text = |error: &dyn fmt::Display| format!("{}: {error}", medium.name());
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            StorageError::Full(text(&error))
        }
        redb::Error::DatabaseAlreadyOpen => StorageError::InUse(medium.name()),
        error => StorageError::Corrupt(text(&error)),
    }
}
