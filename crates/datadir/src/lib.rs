//! placeholder
pub mod bbolt;
pub mod defragment;
mod error;
mod files;
mod hash_kv;
mod key_map;
mod progress;
pub mod schema;
pub mod snap;
pub mod snapshot;
mod status;
pub mod wal;
mod walk;
pub use error::{Defect, Error, ErrorKind, Result};
pub use hash_kv::{HashKv, KvHash};
pub use progress::{Progress, Stage};
pub use status::Status;
