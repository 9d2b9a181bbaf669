//! etcd's files: what its servers keep on disk, read and written without etcd.
//!
//! | module | what it is for |
//! |---|---|
//! | [`bbolt`] | the database file: reader, check, dump, and a writer of fresh files |
//! | [`schema`] | etcd's buckets in it, typed: keys by revision, leases, users, members, versions |
//! | [`wal`] | the log: segments of records, torn tails, reader and writer |
//! | [`snap`] | raft's snap files |
//! | [`snapshot`] | what `snapshot save` makes: a database with its SHA-256 |
//! | [`defragment`] | copies of databases without free pages |
//! | [`Status`], [`HashKv`], [`Restore`], [`Migrate`] | what etcdutl tells and does, with exactly its results |
//!
//! Formats of etcd 3.4 to 3.7 are known, and what is written here starts in all of them.
//!
//! ```
//! use etcdkit_datadir::bbolt::Writer;
//! use etcdkit_datadir::schema::{Backend, bucket};
//! use etcdkit_datadir::{Restore, Status};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let snapshot = folder.path().join("snapshot.db");
//! // An empty database, as a stand-in for a snapshot that was saved from a server.
//! let mut writer = Writer::new(std::fs::File::create(&snapshot).expect("a file"))?;
//! for name in bucket::ALL {
//!     writer.begin_bucket(name.as_bytes())?;
//!     writer.end_bucket()?;
//! }
//! writer.finish()?;
//!
//! let data_dir = folder.path().join("default.etcd");
//! let restored = Restore::new(&snapshot).skip_hash_check().data_dir(&data_dir).run()?;
//! assert_eq!(restored.member_id, 0x8e9e05c52164694d);
//!
//! let mut backend = Backend::open_path(data_dir.join("member/snap/db"))?;
//! assert_eq!(backend.members()?.count(), 1);
//! assert_eq!(Status::of(&mut backend)?.live_keys, 0);
//! # Ok::<(), etcdkit_datadir::Error>(())
//! ```
//!
//! # What holds everywhere
//!
//! * Files come from strangers: no input makes a reader panic, loop or take more memory than it says. There is no unsafe
//!   code and no memory map; everything goes through `Read + Seek`.
//! * Memory is bounded by what one page or record may hold (128 MiB, though etcd's have a few MiB at most), not by how long
//!   a file is. Larger ones are an error of kind [`LimitExceeded`](ErrorKind::LimitExceeded).
//! * Nothing is ever overwritten: what is made appears under its name when it is complete and synced. Only
//!   [`defragment::data_dir`] and [`Migrate`] replace a file, by a complete one at once.
//! * Calls block. In asynchronous programs they belong on a thread for blocking work.
//! * Nobody may write a file while it is read. A snapshot is always safe to read; a database is when its etcd is down.
//!
//! The formats are described in `docs/design/datadir.md`.

pub mod bbolt;
pub mod defragment;
mod error;
mod files;
mod hash_kv;
mod key_map;
mod migrate;
mod progress;
mod restore;
pub mod schema;
pub mod snap;
pub mod snapshot;
mod status;
pub mod wal;
mod walk;

pub use error::{Defect, Error, ErrorKind, Result};
pub use hash_kv::{HashKv, KvHash};
pub use migrate::{Migrate, Migrated};
pub use progress::{Progress, Stage};
pub use restore::{Restore, Restored};
pub use status::Status;
