//! The entries of a file.

use std::fs::File;
use std::path::Path;

use etcdkit_datadir::bbolt::{Bbolt, Value};
use etcdkit_datadir::{Error, ErrorKind, snapshot};

use crate::storage::{Bucket, Load, StorageError};

/// What of the bucket `meta` goes with the keys. The rest is about the member that made the file.
const META: [&[u8]; 4] =
    [b"consistent_index", b"finishedCompactRev", b"scheduledCompactRev", b"term"];

/// Hands over every entry of a snapshot that does not name the member or cluster that it was made by. It blocks.
///
/// # Errors
///
/// When the file is damaged, not complete, or no snapshot; else what `each` returned.
pub(crate) fn read(path: &Path, each: &mut Load<'_>) -> Result<(), StorageError> {
    let refused = |error: Error| refused(path, &error);
    let mut file = File::open(path).map_err(|error| {
        StorageError::Broken(format!("cannot open {}: {error}", path.display()))
    })?;
    snapshot::verify(&mut file).map_err(refused)?;
    let mut database = Bbolt::open(file).map_err(refused)?;
    for bucket in Bucket::ALL {
        if matches!(bucket, Bucket::Cluster | Bucket::Members | Bucket::MembersRemoved) {
            continue;
        }
        let Some(found) = database.bucket(bucket.name().as_bytes()).map_err(refused)? else {
            continue;
        };
        let mut entries = database.entries(&found);
        while let Some(entry) = entries.next_entry().map_err(refused)? {
            let Value::Bytes(value) = entry.value else {
                let text = format!("{}: a bucket within {}", path.display(), bucket.name());
                return Err(StorageError::Corrupt(text));
            };
            if bucket != Bucket::Meta || META.contains(&entry.key) {
                each(bucket, entry.key, value)?;
            }
        }
    }
    Ok(())
}

fn refused(path: &Path, error: &Error) -> StorageError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::Io => StorageError::Broken(text),
        ErrorKind::Unsupported => StorageError::Unsupported(text),
        _ => StorageError::Corrupt(text),
    }
}
