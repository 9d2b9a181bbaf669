//! What went wrong, in the official tool's words where it has any.

use std::error::Error as _;
use std::io;
use std::path::Path;

use etcdkit_datadir::{Error, ErrorKind};

use crate::failure::Failure;
use crate::notation::os_error;

/// An error about a file that was to be read as a database.
pub(super) fn database(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::NotADatabase | ErrorKind::Truncated => Failure::error("invalid database")
            .with_hint(format!(
                "{error}: it is no snapshot or database of etcd, or cut off; save it again"
            )),
        ErrorKind::Compacted => Failure::error("mvcc: required revision has been compacted"),
        ErrorKind::FutureRevision => Failure::error("mvcc: required revision is a future revision"),
        ErrorKind::Corrupt => Failure::error(format!(
            "snapshot file integrity check failed. {error}"
        ))
        .with_hint("the file is damaged: take another snapshot, or another member's database"),
        _ => Failure::error(error.to_string()),
    }
}

/// Another process has the database.
pub(super) fn in_use(message: &str) -> Failure {
    Failure::error(message)
        .with_hint("stop the etcd that runs on this data directory, or ask it by etcdctl")
}

/// What the system says of a path, asked as the official tool asks it. `None` if there is something.
pub(super) fn stat(path: &Path) -> Option<String> {
    let error = path.metadata().err()?;
    Some(format!("stat {}: {}", path.display(), os_error::text(&error)))
}

/// What the system said, somewhere below an error.
pub(super) fn system(error: &Error) -> Option<String> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    Some(os_error::text(cause))
}

/// An error without the name of its file, which the official tool leaves out.
pub(super) fn without_path(error: &Error) -> String {
    let text = error.to_string();
    let path = error.path().map(|path| format!("{}: ", path.display()));
    path.and_then(|path| text.strip_prefix(&path).map(str::to_owned)).unwrap_or(text)
}
