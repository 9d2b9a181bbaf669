//! Iteration over buckets of messages.

use std::fmt;
use std::io::{Read, Seek};

use crate::bbolt::{Cursor, Value};
use crate::error::{Defect, Error, Result};

/// Iterates over a bucket whose entries are of one type: leases, users, roles, alarms, members.
///
/// It ends after the first error.
pub struct Typed<'a, R, T> {
    cursor: Option<Cursor<'a, R>>,
    decode: fn(&[u8], &[u8]) -> Result<T>,
}

impl<R, T> fmt::Debug for Typed<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").finish_non_exhaustive()
    }
}

impl<'a, R, T> Typed<'a, R, T> {
    pub(super) fn new(
        cursor: Option<Cursor<'a, R>>,
        decode: fn(&[u8], &[u8]) -> Result<T>,
    ) -> Self {
        Self { cursor, decode }
    }
}

impl<R: Read + Seek, T> Iterator for Typed<'_, R, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let entry = match self.cursor.as_mut()?.next_entry() {
            Ok(entry) => entry?,
            Err(error) => {
                self.cursor = None;
                return Some(Err(error));
            }
        };
        let item = match entry.value {
            Value::Bytes(value) => (self.decode)(entry.key, value),
            Value::Bucket(_) => {
                let message = "a bucket where etcd has none";
                Err(Error::corrupt(Defect::InvalidBucket, message))
            }
        };
        if item.is_err() {
            self.cursor = None;
        }
        Some(item)
    }
}
