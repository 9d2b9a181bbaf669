//! One pass over a whole etcd database: every entry once, and every page checked on the way.

use std::io::{Read, Seek};

use crate::bbolt::{Bbolt, Entry};
use crate::error::{ErrorKind, Result};

/// What visits a database. Buckets come in the order of their names, entries in the order of their keys.
pub(crate) trait Visitor {
    fn bucket(&mut self, name: &[u8]) -> Result<()>;
    fn entry(&mut self, entry: &Entry<'_>) -> Result<()>;
}

/// Visits everything. A page that is reached twice, on whichever way, is an error.
///
/// Where the structure is damaged, the error tells how many defects there are.
pub(crate) fn walk<R: Read + Seek>(db: &mut Bbolt<R>, visitor: &mut impl Visitor) -> Result<()> {
    db.begin_walk();
    let result = visit(db, visitor);
    db.end_walk();
    match result {
        Err(error) if error.kind() == ErrorKind::Corrupt && error.page().is_some() => {
            // The whole story; if it has no other chapter than this one, this one it is.
            db.check()?.into_result()?;
            Err(error)
        }
        Err(error) => Err(error),
        Ok(()) if db.meta().freelist.is_some() => db.check()?.into_result().map(drop),
        Ok(()) => Ok(()),
    }
}

fn visit<R: Read + Seek>(db: &mut Bbolt<R>, visitor: &mut impl Visitor) -> Result<()> {
    for (name, bucket) in db.buckets()? {
        visitor.bucket(&name)?;
        let mut entries = db.entries(&bucket);
        while let Some(entry) = entries.next_entry()? {
            visitor.entry(&entry)?;
        }
    }
    Ok(())
}
