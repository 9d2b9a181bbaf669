//! An etcd database with its buckets.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use etcdkit_proto::authpb::{Role, User};
use etcdkit_proto::etcdserverpb::AlarmMember;
use etcdkit_proto::leasepb::Lease;
use prost::Message;

use super::meta::invalid;
use super::{
    AuthState, ConfState, Downgrade, KeyRecords, Member, Meta, RevisionKey, Typed, Version, bucket,
};
use crate::bbolt::{Bbolt, Cursor};
use crate::error::{Defect, Error, ErrorKind, Result};

/// An etcd database: `member/snap/db` of a data directory, or a snapshot file.
///
/// ```
/// use etcdkit_datadir::bbolt::Writer;
/// use etcdkit_datadir::schema::Backend;
/// use std::io::Cursor;
///
/// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"meta")?;
/// writer.put(b"consistent_index", &7_u64.to_be_bytes())?;
/// writer.end_bucket()?;
///
/// let mut backend = Backend::open(writer.finish()?)?;
/// assert_eq!(backend.meta()?.consistent_index, Some(7));
/// assert_eq!(backend.leases()?.count(), 0);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct Backend<R> {
    db: Bbolt<R>,
}

impl<R> fmt::Debug for Backend<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Backend<File> {
    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, and what [`Bbolt::open`] returns.
    pub fn open_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file =
            File::open(path).map_err(|error| Error::io("cannot open", error).in_file(path))?;
        Self::open(file).map_err(|error| error.in_file(path))
    }
}

impl<R: Read + Seek> Backend<R> {
    /// Opens a database. A snapshot's trailer is no hindrance.
    ///
    /// # Errors
    ///
    /// What [`Bbolt::open`] returns.
    pub fn open(io: R) -> Result<Self> {
        Ok(Self { db: Bbolt::open(io)? })
    }

    /// The bbolt database beneath.
    pub const fn bbolt(&mut self) -> &mut Bbolt<R> {
        &mut self.db
    }

    /// Every revision of every key.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn key_records(&mut self) -> Result<KeyRecords<'_, R>> {
        Ok(KeyRecords::new(self.cursor(bucket::KEY)?))
    }

    /// The last revision of a key, 0 without any. The store's own revision may be greater: [`Self::revision`].
    ///
    /// # Errors
    ///
    /// When the bucket is damaged or cannot be read.
    pub fn last_key_revision(&mut self) -> Result<i64> {
        let Some(keys) = self.db.bucket(bucket::KEY.as_bytes())? else { return Ok(0) };
        match self.db.last_key(&keys)? {
            Some(key) => Ok(RevisionKey::decode(&key)?.revision.main),
            None => Ok(0),
        }
    }

    /// The revision at which etcd starts from this database: 1 when nothing was ever written.
    ///
    /// # Errors
    ///
    /// When the buckets are damaged or cannot be read.
    pub fn revision(&mut self) -> Result<i64> {
        let compacted = self.meta()?.compact_revision().unwrap_or_default();
        Ok(self.last_key_revision()?.max(compacted).max(1))
    }

    /// The leases.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn leases(&mut self) -> Result<Typed<'_, R, Lease>> {
        Ok(Typed::new(self.cursor(bucket::LEASE)?, |_, value| {
            Lease::decode(value).map_err(|error| invalid("no lease").caused_by(error))
        }))
    }

    /// The users, with their password hashes.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn users(&mut self) -> Result<Typed<'_, R, User>> {
        Ok(Typed::new(self.cursor(bucket::AUTH_USERS)?, |_, value| {
            User::decode(value).map_err(|error| invalid("no user").caused_by(error))
        }))
    }

    /// The roles.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn roles(&mut self) -> Result<Typed<'_, R, Role>> {
        Ok(Typed::new(self.cursor(bucket::AUTH_ROLES)?, |_, value| {
            Role::decode(value).map_err(|error| invalid("no role").caused_by(error))
        }))
    }

    /// The active alarms.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn alarms(&mut self) -> Result<Typed<'_, R, AlarmMember>> {
        Ok(Typed::new(self.cursor(bucket::ALARM)?, |key, _| {
            AlarmMember::decode(key).map_err(|error| invalid("no alarm").caused_by(error))
        }))
    }

    /// The members. Those of etcd 3.4 and 3.5 may lag behind: these versions rely on their snap file instead.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn members(&mut self) -> Result<Typed<'_, R, Member>> {
        Ok(Typed::new(self.cursor(bucket::MEMBERS)?, |_, value| Member::decode(value)))
    }

    /// The ids of members that were removed.
    ///
    /// # Errors
    ///
    /// When the way to the bucket is damaged or cannot be read.
    pub fn removed_members(&mut self) -> Result<Typed<'_, R, u64>> {
        Ok(Typed::new(self.cursor(bucket::MEMBERS_REMOVED)?, |key, _| {
            let text = std::str::from_utf8(key).ok();
            text.and_then(|text| u64::from_str_radix(text, 16).ok())
                .ok_or_else(|| invalid("a removed member's id is no hexadecimal number"))
        }))
    }

    /// How far the log is applied, compaction, storage version.
    ///
    /// # Errors
    ///
    /// When the bucket is damaged or cannot be read.
    pub fn meta(&mut self) -> Result<Meta> {
        let number = |name: &'static str, value: Option<Vec<u8>>| match value {
            Some(value) => <[u8; 8]>::try_from(value)
                .map(|bytes| Some(u64::from_be_bytes(bytes)))
                .map_err(|_| invalid(&format!("{name} has not eight bytes"))),
            None => Ok(None),
        };
        let revision = |value: Option<Vec<u8>>| {
            value.map(|key| RevisionKey::decode(&key).map(|key| key.revision)).transpose()
        };
        Ok(Meta {
            consistent_index: number(
                "consistent_index",
                self.value(bucket::META, "consistent_index")?,
            )?,
            term: number("term", self.value(bucket::META, "term")?)?,
            conf_state: self
                .value(bucket::META, "confState")?
                .map(|json| ConfState::decode(&json))
                .transpose()?,
            storage_version: self.version(bucket::META, "storageVersion")?,
            finished_compact: revision(self.value(bucket::META, "finishedCompactRev")?)?,
            scheduled_compact: revision(self.value(bucket::META, "scheduledCompactRev")?)?,
        })
    }

    /// The version that the cluster has agreed on.
    ///
    /// # Errors
    ///
    /// When the bucket is damaged or cannot be read.
    pub fn cluster_version(&mut self) -> Result<Option<Version>> {
        self.version(bucket::CLUSTER, "clusterVersion")
    }

    /// A downgrade in progress. Since etcd 3.5.
    ///
    /// # Errors
    ///
    /// When the bucket is damaged or cannot be read.
    pub fn downgrade(&mut self) -> Result<Option<Downgrade>> {
        let json = self.value(bucket::CLUSTER, "downgrade")?;
        json.map(|json| Downgrade::decode(&json)).transpose()
    }

    /// Whether authentication is on.
    ///
    /// # Errors
    ///
    /// When the bucket is damaged or cannot be read.
    pub fn auth(&mut self) -> Result<AuthState> {
        let enabled = self.value(bucket::AUTH, "authEnabled")?.is_some_and(|value| value == [1]);
        let revision = match self.value(bucket::AUTH, "authRevision")? {
            Some(value) => <[u8; 8]>::try_from(value)
                .map(u64::from_be_bytes)
                .map_err(|_| invalid("authRevision has not eight bytes"))?,
            None => 0,
        };
        Ok(AuthState { enabled, revision })
    }

    fn cursor(&mut self, name: &str) -> Result<Option<Cursor<'_, R>>> {
        let bucket = self.db.bucket(name.as_bytes())?;
        Ok(bucket.map(|bucket| self.db.entries(&bucket)))
    }

    fn value(&mut self, name: &str, key: &str) -> Result<Option<Vec<u8>>> {
        match self.db.bucket(name.as_bytes())? {
            Some(bucket) => self.db.get(&bucket, key.as_bytes()),
            None => Ok(None),
        }
    }

    fn version(&mut self, name: &str, key: &str) -> Result<Option<Version>> {
        let Some(text) = self.value(name, key)? else { return Ok(None) };
        let text = std::str::from_utf8(&text).map_err(|_| invalid("a version is no text"))?;
        text.parse().map(Some)
    }

    /// The error for a file that is a database but no etcd's.
    pub(crate) fn require_buckets(&mut self) -> Result<()> {
        for name in [bucket::KEY, bucket::META] {
            if self.db.bucket(name.as_bytes())?.is_none() {
                let message = format!("a bbolt database without bucket {name:?} is not etcd's");
                return Err(Error::new(ErrorKind::NotADatabase, message));
            }
        }
        Ok(())
    }
}

/// The error for an entry that must have a plain value.
pub(crate) fn nested_bucket() -> Error {
    Error::corrupt(Defect::InvalidBucket, "a bucket where etcd has none")
}
