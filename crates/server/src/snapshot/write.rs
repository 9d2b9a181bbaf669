//! The state as a file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use bytes::{Bytes, BytesMut};
use etcdkit_datadir::bbolt::Writer;
use etcdkit_datadir::snapshot::TRAILER;
use sha2::{Digest, Sha256};

use super::copy::Copy;
use super::scratch::Scratch;
use crate::node::Node;
use crate::storage::Bucket;

/// A snapshot that waits to be read: a database, and the SHA-256 of it.
#[derive(Debug)]
pub(crate) struct Image {
    scratch: Scratch,
    sha256: Sha256,
    left: u64,
}

impl Image {
    /// Bytes of the database that were not read yet.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, so many at most. Nothing is left when there are none.
    pub(crate) fn next(&mut self, limit: usize) -> io::Result<Bytes> {
        let length = usize::try_from(self.left).unwrap_or(limit).min(limit);
        let mut bytes = BytesMut::zeroed(length);
        let mut file = self.scratch.file()?;
        file.read_exact(&mut bytes)?;
        self.sha256.update(&bytes);
        self.left -= length as u64;
        Ok(bytes.freeze())
    }

    /// What follows the database: 32 bytes.
    pub(crate) fn trailer(self) -> Bytes {
        let digest = self.sha256.finalize();
        debug_assert_eq!(digest.len() as u64, TRAILER, "SHA-256 has 32 bytes");
        Bytes::copy_from_slice(&digest)
    }
}

/// Writes what was copied, and what is still to be copied, into a file. It blocks; memory stays at a page of the copy.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn write(node: &Node, mut copy: Copy) -> io::Result<Image> {
    let scratch = Scratch::new()?;
    let mut writer = Writer::new(scratch.file()?).map_err(io::Error::other)?;
    let entries = std::mem::take(&mut copy.entries);
    for bucket in Bucket::ALL {
        writer.begin_bucket(bucket.name().as_bytes()).map_err(io::Error::other)?;
        for (_, key, value) in entries.iter().filter(|entry| entry.0 == bucket) {
            writer.put(key, value).map_err(io::Error::other)?;
        }
        let mut next = || (bucket == Bucket::Key).then(|| copy.page(&node.state()));
        while let Some(page) = next().filter(|page| !page.is_empty()) {
            for (key, value) in &page {
                writer.put(key, value).map_err(io::Error::other)?;
            }
        }
        writer.end_bucket().map_err(io::Error::other)?;
    }
    let mut file = writer.finish().map_err(io::Error::other)?;
    // What was kept for the copy can go.
    drop(copy);
    file.flush()?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Image { scratch, sha256: Sha256::new(), left: length })
}
