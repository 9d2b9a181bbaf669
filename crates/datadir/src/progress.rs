//! How far a long operation is.

use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind, Result};

/// What an operation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Comparing a snapshot with its SHA-256.
    Verifying,
    /// Copying the database, and comparing it with its SHA-256 on the way.
    Copying,
    /// Checking that etcd can start from it.
    Checking,
    /// Writing a defragmented database.
    Defragmenting,
    /// Waiting for the disk.
    Syncing,
}

/// How far an operation is, in bytes of its stage.
///
/// Callbacks get it about once in a mebibyte, and end the operation with [`ControlFlow::Break`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Progress {
    pub(crate) fn report(self, to: &mut dyn FnMut(Self) -> ControlFlow<()>) -> Result<()> {
        match to(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                Err(Error::new(ErrorKind::Cancelled, "the progress callback asked to stop"))
            }
        }
    }
}
