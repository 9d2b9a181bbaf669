//! No storage at all.

use super::{Batch, Load, Source, Storage, StorageError};

/// Keeps nothing: the state lives and ends with the server. The default.
///
/// A [restart](crate::Server::restart) in place keeps the state all the same, as it would be on a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Storage for Memory {
    fn load(&mut self, _: &mut Load<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StorageError> {
        Ok(())
    }

    fn fill(&mut self, _: &mut Source<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}
