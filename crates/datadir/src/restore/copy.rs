//! Copying the database out of a snapshot, hashed on the way.
//!
//! Three threads share the work: one reads and hashes, one writes, and one keeps the disk busy with what is written,
//! so that the final sync finds little left to do. Buffers go round, and there are no more than a few.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files::{allocate, create_file};
use crate::progress::{Progress, Stage};
use crate::snapshot::{TRAILER, compare, database_len, missing};

const CHUNK: usize = 1 << 20;
const BUFFERS: usize = 8;
/// So much is written before the disk is told to store it.
const FLUSH_BYTES: u64 = 256 << 20;

/// Whether a snapshot's trailer is demanded and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Hash,
    Skip,
}

/// Copies the database of the snapshot at `from` to the new file `to`.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    check: Check,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<File> {
    let failed = |error| Error::io("cannot read the snapshot", error).in_file(from);
    let mut input = File::open(from).map_err(failed)?;
    let length = input.metadata().map_err(failed)?.len();
    let database = database_len(length);
    if database.is_none() && check == Check::Hash {
        return Err(missing().in_file(from));
    }
    let total = database.unwrap_or(length);
    let output = create_file(to)?;
    allocate(&output, total);
    let sha256 = thread::scope(|scope| {
        let (full, to_write) = sync_channel::<Vec<u8>>(BUFFERS);
        let (empty, to_fill) = sync_channel::<Vec<u8>>(BUFFERS);
        let (written, to_flush) = sync_channel::<()>(1);
        for _ in 0..BUFFERS {
            let _ = empty.send(vec![0; CHUNK]);
        }
        let file = &output;
        let writer = scope.spawn(move || write(file, &to_write, &empty, &written));
        let flusher = scope.spawn(move || flush(file, &to_flush));
        let read = read(&mut input, total, check, (&to_fill, &full), progress);
        drop(full);
        let panicked = |_| Err(std::io::Error::other("a thread panicked"));
        let wrote = writer.join().unwrap_or_else(panicked);
        let flushed = flusher.join().unwrap_or_else(panicked);
        wrote.map_err(|error| Error::io("cannot write", error).in_file(to))?;
        flushed.map_err(|error| Error::io("cannot sync", error).in_file(to))?;
        read.map_err(|error| error.in_file(from))
    })?;
    if check == Check::Hash {
        let mut trailer = [0; TRAILER as usize];
        input.read_exact(&mut trailer).map_err(failed)?;
        compare(&sha256.finalize(), &trailer).map_err(|error| error.in_file(from))?;
    }
    Ok(output)
}

fn read(
    input: &mut File,
    total: u64,
    check: Check,
    (empty, full): (&Receiver<Vec<u8>>, &SyncSender<Vec<u8>>),
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Sha256> {
    let mut sha256 = Sha256::new();
    let mut done = 0;
    while done < total {
        // Without a writer there is nothing more to do; its own error says why it went away.
        let Ok(mut chunk) = empty.recv() else { break };
        let count = usize::try_from(total - done).unwrap_or(CHUNK).min(CHUNK);
        chunk.resize(count, 0);
        input
            .read_exact(&mut chunk)
            .map_err(|error| Error::io("cannot read the snapshot", error))?;
        if check == Check::Hash {
            sha256.update(&chunk);
        }
        if full.send(chunk).is_err() {
            break;
        }
        done += count as u64;
        Progress { stage: Stage::Copying, done, total }.report(progress)?;
    }
    Ok(sha256)
}

fn write(
    mut file: &File,
    full: &Receiver<Vec<u8>>,
    empty: &SyncSender<Vec<u8>>,
    written: &SyncSender<()>,
) -> std::io::Result<()> {
    let mut since = 0;
    while let Ok(chunk) = full.recv() {
        file.write_all(&chunk)?;
        since += chunk.len() as u64;
        if since >= FLUSH_BYTES && written.try_send(()).is_ok() {
            since = 0;
        }
        let _ = empty.send(chunk);
    }
    Ok(())
}

/// The system tells a failure to store something once: it must not get lost here.
fn flush(file: &File, written: &Receiver<()>) -> std::io::Result<()> {
    while written.recv().is_ok() {
        file.sync_data()?;
    }
    Ok(())
}
