//! What is committed at once.

use etcdkit_datadir::schema::bucket;

/// One of etcd's ten buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Active alarms.
    Alarm,
    /// Whether authentication is on, and its revision.
    Auth,
    /// Roles with their permissions.
    AuthRoles,
    /// Users with their password hashes.
    AuthUsers,
    /// The cluster's version.
    Cluster,
    /// Every revision of every key.
    Key,
    /// Leases.
    Lease,
    /// Members.
    Members,
    /// The ids of members that were removed.
    MembersRemoved,
    /// How far requests are applied, compaction, versions.
    Meta,
}

impl Bucket {
    /// All of them, in the order of their names, which is that of etcd's files.
    pub const ALL: [Self; 10] = [
        Self::Alarm,
        Self::Auth,
        Self::AuthRoles,
        Self::AuthUsers,
        Self::Cluster,
        Self::Key,
        Self::Lease,
        Self::Members,
        Self::MembersRemoved,
        Self::Meta,
    ];

    /// Its name in etcd's files.
    ///
    /// ```
    /// use etcdkit_server::storage::Bucket;
    ///
    /// assert_eq!(Bucket::AuthUsers.name(), "authUsers");
    /// assert_eq!(Bucket::from_name("key"), Some(Bucket::Key));
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        bucket::ALL[self as usize]
    }

    /// The bucket of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.name() == name)
    }
}

/// One change of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The bucket.
    pub bucket: Bucket,
    /// The entry's key.
    pub key: Vec<u8>,
    /// Its new value; `None` removes the entry.
    pub value: Option<Vec<u8>>,
}

/// Changes that become durable together. A later operation on an entry wins over an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
}

impl Batch {
    /// Sets an entry.
    pub fn put(&mut self, bucket: Bucket, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.operations.push(Operation { bucket, key: key.into(), value: Some(value.into()) });
    }

    /// Removes an entry. It need not exist.
    pub fn delete(&mut self, bucket: Bucket, key: impl Into<Vec<u8>>) {
        self.operations.push(Operation { bucket, key: key.into(), value: None });
    }

    /// The operations, in their order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}
