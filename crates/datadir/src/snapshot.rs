//! Snapshot files: what `snapshot save` makes.
//!
//! A snapshot is a database followed by the 32 bytes of its SHA-256. The database's length is a multiple of 512, so
//! that the file's length tells whether the trailer is there; a plain copy of `member/snap/db` has none.

use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Progress, Stage};

/// Bytes of the trailer.
pub const TRAILER: u64 = 32;
const ALIGNMENT: u64 = 512;
const CHUNK: usize = 1 << 20;

/// The length of the database in a file of `length` bytes, if the length says that a trailer follows it.
///
/// ```
/// use etcdkit_datadir::snapshot::database_len;
///
/// assert_eq!(database_len(20480 + 32), Some(20480));
/// assert_eq!(database_len(20480), None);
/// ```
#[must_use]
pub const fn database_len(length: u64) -> Option<u64> {
    if length % ALIGNMENT == TRAILER { Some(length - TRAILER) } else { None }
}

/// Checks that a snapshot is complete and undamaged, and returns the length of its database.
///
/// ```
/// use etcdkit_datadir::{ErrorKind, snapshot};
/// use sha2::{Digest, Sha256};
/// use std::io::Cursor;
///
/// let mut file = vec![7; 1024];
/// file.extend_from_slice(&Sha256::digest(&file));
/// assert_eq!(snapshot::verify(&mut Cursor::new(&file))?, 1024);
///
/// file[100] ^= 1;
/// let error = snapshot::verify(&mut Cursor::new(&file)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
///
/// file.truncate(1000);
/// let error = snapshot::verify(&mut Cursor::new(&file)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::ChecksumMissing);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
///
/// # Errors
///
/// `ChecksumMissing` without a trailer, `ChecksumMismatch` when it does not fit, else when the file cannot be read.
pub fn verify(io: &mut (impl Read + Seek)) -> Result<u64> {
    verify_with(io, &mut |_| ControlFlow::Continue(()))
}

/// Like [`verify`], and says how far it is.
///
/// # Errors
///
/// Those of [`verify`], and `Cancelled`.
pub fn verify_with(
    io: &mut (impl Read + Seek),
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<u64> {
    let failed = |error| Error::io("cannot read the snapshot", error);
    let length = io.seek(SeekFrom::End(0)).map_err(failed)?;
    let database = database_len(length).ok_or_else(missing)?;
    io.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    while done < database {
        let count = usize::try_from(database - done).unwrap_or(CHUNK).min(CHUNK);
        io.read_exact(&mut chunk[..count]).map_err(failed)?;
        sha256.update(&chunk[..count]);
        done += count as u64;
        Progress { stage: Stage::Verifying, done, total: database }.report(progress)?;
    }
    let mut trailer = [0; TRAILER as usize];
    io.read_exact(&mut trailer).map_err(failed)?;
    compare(&sha256.finalize(), &trailer)?;
    Ok(database)
}

pub(crate) fn missing() -> Error {
    let message = "the snapshot has no SHA-256 trailer: it was cut off, or it is a plain copy of a \
                   database, which only restores with skip_hash_check";
    Error::new(ErrorKind::ChecksumMissing, message)
}

pub(crate) fn compare(computed: &[u8], trailer: &[u8]) -> Result<()> {
    if computed == trailer {
        return Ok(());
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let message = format!("expected SHA-256 {}, got {}", hex(trailer), hex(computed));
    Err(Error::new(ErrorKind::ChecksumMismatch, message))
}
