//! Whether etcd will start from a database.
//!
//! etcd exits, or worse, panics, when it meets content that it cannot parse. Restore meets it first. Every page and
//! every entry is looked at once.

use std::io::{Read, Seek};
use std::ops::ControlFlow;

use etcdkit_proto::authpb::{Role, User};
use etcdkit_proto::etcdserverpb::AlarmMember;
use etcdkit_proto::leasepb::Lease;
use prost::Message;

use crate::bbolt::{Entry, Value};
use crate::error::{Defect, Error, Result};
use crate::progress::{Progress, Stage};
use crate::schema::{Backend, Revision, Version, bucket, nested_bucket, record_of};
use crate::walk::{Visitor, walk};

const REPORT_BYTES: u64 = 1 << 20;

/// Looks at everything, and returns the last revision of a key.
pub(super) fn check<R: Read + Seek>(
    backend: &mut Backend<R>,
    target: Option<Version>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Revision> {
    backend.require_buckets()?;
    versions(backend, target)?;
    backend.meta()?;
    backend.auth()?;
    let total = backend.bbolt().size();
    let mut checking = Checking {
        bucket: Vec::new(),
        last: Revision::default(),
        done: 0,
        reported: 0,
        total,
        progress,
    };
    walk(backend.bbolt(), &mut checking)?;
    Ok(checking.last)
}

/// The rules by which versions of etcd refuse a database of another one.
fn versions<R: Read + Seek>(backend: &mut Backend<R>, target: Option<Version>) -> Result<()> {
    let storage = backend.meta()?.storage_version;
    let cluster = backend.cluster_version()?;
    let downgrade = backend.downgrade()?.filter(|downgrade| downgrade.enabled);
    let Some(target) = target else { return Ok(()) };
    if target.line() >= (3, 6) {
        // schema.Validate: `version "3.7.0" is not supported`.
        if let Some(storage) = storage.filter(|storage| storage.line() > target.line()) {
            let message = format!(
                "etcd {target} would not start: storage version {storage} is not supported"
            );
            return Err(Error::refused(message));
        }
        // version.MustDetectDowngrade.
        if let Some(cluster) = cluster.filter(|cluster| cluster.line() > target.line()) {
            let message =
                format!("etcd {target} would not start: the cluster's version is {cluster}");
            return Err(Error::refused(message));
        }
    }
    if let (Some(downgrade), (3, 5)) = (downgrade, target.line()) {
        let to = downgrade.target_version.parse::<Version>().ok();
        if to.is_none_or(|to| to.line() != target.line()) {
            let message = format!(
                "etcd {target} would not start: a downgrade to {} was in progress",
                downgrade.target_version
            );
            return Err(Error::refused(message));
        }
    }
    Ok(())
}

struct Checking<'a> {
    bucket: Vec<u8>,
    last: Revision,
    done: u64,
    reported: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Visitor for Checking<'_> {
    fn bucket(&mut self, name: &[u8]) -> Result<()> {
        self.bucket.clear();
        self.bucket.extend_from_slice(name);
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let Value::Bytes(value) = entry.value else { return Err(nested_bucket()) };
        self.done += (entry.key.len() + value.len()) as u64;
        if self.done - self.reported >= REPORT_BYTES {
            self.reported = self.done;
            let (done, total) = (self.done, self.total);
            Progress { stage: Stage::Checking, done, total }.report(self.progress)?;
        }
        if self.bucket == bucket::KEY.as_bytes() {
            self.last = record_of(entry.key, &entry.value)?.revision;
            return Ok(());
        }
        let decoded = match std::str::from_utf8(&self.bucket).unwrap_or_default() {
            bucket::LEASE => Lease::decode(value).map(drop),
            bucket::AUTH_USERS => User::decode(value).map(drop),
            bucket::AUTH_ROLES => Role::decode(value).map(drop),
            bucket::ALARM => AlarmMember::decode(entry.key).map(drop),
            // The old members give way to new ones, whatever they look like.
            _ => return Ok(()),
        };
        decoded.map_err(|error| {
            let bucket = self.bucket.escape_ascii();
            let message = format!("{} in bucket {bucket}", entry.key.escape_ascii());
            Error::corrupt(Defect::InvalidMessage, message).caused_by(error)
        })
    }
}
