//! Where the state outlives the process: ten buckets of keys and values, with etcd's names, keys and values.
//!
//! A storage knows nothing of revisions, leases or users. It is read once, at start, and then only written to: whoever
//! reads is answered from memory. Since the buckets are etcd's own, a snapshot is a copy of them.
//!
//! `Node` calls it from one thread for blocking work at a time; see `commit.rs` for when.

mod batch;
#[cfg(feature = "disk")]
mod disk;
mod memory;
#[cfg(test)]
#[cfg(feature = "disk")]
mod tests;

use std::fmt;

pub use batch::{Batch, Bucket, Operation};
#[cfg(feature = "disk")]
#[cfg_attr(docsrs, doc(cfg(feature = "disk")))]
pub use disk::Disk;
pub use memory::Memory;

/// Takes each entry while a storage is loaded: its bucket, key and value. Within a bucket they come in the order of keys.
pub type Load<'a> = dyn FnMut(Bucket, &[u8], &[u8]) -> Result<(), StorageError> + 'a;

/// Where entries come from: it hands each of them to what it is called with.
pub type Source<'a> = dyn FnMut(&mut Load<'_>) -> Result<(), StorageError> + 'a;

/// A place for the ten buckets.
pub trait Storage: Send + fmt::Debug + 'static {
    /// Hands over everything that was committed.
    ///
    /// # Errors
    ///
    /// What could not be read, or what `each` returned.
    fn load(&mut self, each: &mut Load<'_>) -> Result<(), StorageError>;

    /// Makes all of a batch durable, or nothing of it. It returns when a power cut could not undo it.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] when nothing was changed for lack of space, and the storage may be used further.
    /// [`StorageError::Broken`] when it is unknown what is durable: the storage must not be used any more, since a second
    /// sync could report success for what the first one lost.
    fn commit(&mut self, batch: &Batch) -> Result<(), StorageError>;

    /// Takes over all of a source, which may be larger than memory, or nothing of it. It is called on an empty storage.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit), and what the source returned.
    fn fill(&mut self, source: &mut Source<'_>) -> Result<(), StorageError>;

    /// Whether there is anything to commit to. Without, the state makes no batches.
    fn is_durable(&self) -> bool {
        true
    }

    /// Bytes that it takes on disk. With `None`, the default, the server tells about how many etcd's database would take.
    fn size(&self) -> Option<u64> {
        None
    }

    /// How often it had the disk confirm what was written, since it was opened.
    fn syncs(&self) -> u64 {
        0
    }

    /// Gives unused space back. Default: there is none.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit).
    fn defragment(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Why a storage failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no space left. Nothing was changed.
    Full(String),
    /// Somebody else has it open.
    InUse(String),
    /// What it holds is not what a server wrote.
    Corrupt(String),
    /// Its format is not known to this version.
    Unsupported(String),
    /// A sync failed, or something that makes what is durable unknown.
    Broken(String),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(what) => write!(f, "no space left: {what}"),
            Self::InUse(what) => write!(f, "in use by another process: {what}"),
            Self::Corrupt(what) => write!(f, "not what a server wrote: {what}"),
            Self::Unsupported(what) => write!(f, "of an unknown format: {what}"),
            Self::Broken(what) => write!(f, "broken until it is opened again: {what}"),
        }
    }
}

impl std::error::Error for StorageError {}
