//! A drive that keeps what was synced, and of the rest what it likes.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::storage::disk::{self, Disk, Medium};

/// A sector: what a drive writes whole.
const SECTOR: usize = 512;

/// What a file system gives room by.
const BLOCK: usize = 4096;

/// A drive, whoever holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Drive(Arc<Mutex<Inner>>, Arc<Gate>);

/// Where syncs wait while it is closed.
#[derive(Debug, Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

#[derive(Default)]
struct Inner {
    /// What a power cut cannot take.
    durable: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// What came since the last sync, in its order.
    pending: Vec<Change>,
    /// Operations until the power goes.
    fuse: Option<u64>,
    /// What was written to once, and how much of that there may be.
    blocks: BTreeSet<usize>,
    capacity: Option<usize>,
    syncs_fail: bool,
    pub(super) syncs: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

/// What becomes of the changes since the last sync.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// All of them are gone.
    Everything,
    /// Each is there or not, whatever comes after it: the drive reorders.
    Writes,
    /// Each of their sectors is there or not: the drive tears.
    Sectors,
    /// They are there up to one, which is cut off within.
    Tail,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("length", &self.current.len()).finish_non_exhaustive()
    }
}

impl Inner {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.current, &change);
        self.pending.push(change);
    }
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => image.resize(*length, 0),
        Change::Write(offset, data) => {
            let end = offset + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(data);
        }
    }
}

impl Drive {
    /// One with an empty database.
    pub(super) fn formatted() -> Self {
        let drive = Self::default();
        disk::create(Box::new(drive.clone())).unwrap();
        let mut inner = drive.lock();
        inner.durable = inner.current.clone();
        inner.pending.clear();
        inner.syncs = 0;
        drop(inner);
        drive
    }

    pub(super) fn disk(&self) -> Disk {
        Disk::on(Box::new(self.clone())).unwrap()
    }

    /// Has the power go after so many operations more.
    pub(super) fn cut_after(&self, operations: u64) {
        self.lock().fuse = Some(operations);
    }

    /// What is left after the power went: another drive.
    pub(super) fn after(&self, loss: Loss, random: &mut fastrand::Rng) -> Self {
        let inner = self.lock();
        let mut image = inner.durable.clone();
        let tail = random.usize(..=inner.pending.len());
        for (number, change) in inner.pending.iter().enumerate() {
            match (loss, change) {
                (Loss::Everything, _) => {}
                (Loss::Sectors, Change::Write(offset, data)) => {
                    let mut start = 0;
                    while start < data.len() {
                        let end = ((offset + start) / SECTOR + 1) * SECTOR - offset;
                        let end = end.min(data.len());
                        if random.bool() {
                            let part = data[start..end].to_vec();
                            apply(&mut image, &Change::Write(offset + start, part));
                        }
                        start = end;
                    }
                }
                (Loss::Writes | Loss::Sectors, change) => {
                    if random.bool() {
                        apply(&mut image, change);
                    }
                }
                (Loss::Tail, change) if number < tail => apply(&mut image, change),
                (Loss::Tail, Change::Write(offset, data)) if number == tail => {
                    let part = data[..random.usize(..=data.len())].to_vec();
                    apply(&mut image, &Change::Write(*offset, part));
                }
                (Loss::Tail, _) => {}
            }
        }
        let inner = Inner {
            durable: image.clone(),
            current: image,
            syncs: inner.syncs,
            ..Inner::default()
        };
        Self(Arc::new(Mutex::new(inner)), Arc::default())
    }

    /// Lets so many blocks more be used, and no further; `None` takes it back.
    pub(super) fn limit(&self, room: Option<usize>) {
        let mut inner = self.lock();
        inner.capacity = room.map(|room| inner.blocks.len() + room);
    }

    pub(super) fn fail_syncs(&self, fail: bool) {
        self.lock().syncs_fail = fail;
    }

    /// Has syncs wait, or go on.
    pub(super) fn hold_syncs(&self, hold: bool) {
        *self.1.closed.lock().unwrap() = hold;
        self.1.opened.notify_all();
    }

    pub(super) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Medium for Drive {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn name(&self) -> String {
        "drive".to_owned()
    }
}

impl StorageBackend for Drive {
    fn len(&self) -> io::Result<u64> {
        let mut inner = self.lock();
        inner.operate()?;
        Ok(inner.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let part = inner.current.get(offset..offset + out.len());
        out.copy_from_slice(part.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // Like a sparse file: growing takes no room, writing does.
        inner.change(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let closed = self.1.closed.lock().unwrap();
        drop(self.1.opened.wait_while(closed, |closed| *closed).unwrap());
        let mut inner = self.lock();
        inner.operate()?;
        if inner.syncs_fail {
            // As Linux does: what could not be written is forgotten, and the next sync would succeed.
            inner.pending.clear();
            return Err(io::Error::other("the drive is gone"));
        }
        inner.durable = inner.current.clone();
        inner.pending.clear();
        inner.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.operate()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset + data.len();
        if end > inner.current.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let blocks = offset / BLOCK..end.div_ceil(BLOCK);
        let new = blocks.clone().filter(|block| !inner.blocks.contains(block)).count();
        if inner.capacity.is_some_and(|capacity| inner.blocks.len() + new > capacity) {
            return Err(ErrorKind::StorageFull.into());
        }
        inner.blocks.extend(blocks);
        inner.change(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}
