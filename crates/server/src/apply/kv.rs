//! Putting and deleting keys.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, ResponseHeader,
};
use etcdkit_proto::mvccpb::KeyValue;

use super::{Ranged, Selection, check_delete, check_put, check_range};
use crate::auth::{Access, Who};
use crate::mvcc::KeyRange;
use crate::state::State;
use crate::status::Result;

impl State {
    /// Finds what a request asks for, at what was published.
    pub(crate) fn range(&self, who: Option<&Who>, request: &RangeRequest) -> Result<Selection<'_>> {
        let revision = self.range_at(who, request)?;
        Ok(Selection::find(&self.store, request, revision))
    }

    /// The revision that a range is read at, if it may be.
    pub(crate) fn range_at(&self, who: Option<&Who>, request: &RangeRequest) -> Result<i64> {
        check_range(request)?;
        self.may_range(who, request)?;
        match request.revision {
            ..=0 => Ok(self.published()),
            revision if revision > self.published() => Err(ServerError::FutureRevision.into()),
            revision => Ok(self.store.readable(revision)?),
        }
    }

    pub(crate) fn put(&mut self, who: Option<&Who>, request: &PutRequest) -> Result<PutResponse> {
        check_put(request)?;
        self.has_space(super::alarm::cost_of_put(request))?;
        self.may_put(who, request)?;
        self.puttable(request)?;
        let prev_kv = self.do_put(request);
        let header = Some(self.header(self.store.present()));
        Ok(PutResponse { header, prev_kv })
    }

    pub(crate) fn delete_range(
        &mut self,
        who: Option<&Who>,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse> {
        check_delete(request)?;
        self.not_corrupt()?;
        self.may_delete(who, request)?;
        let (deleted, prev_kvs) = self.do_delete(request);
        let header = Some(self.header(self.store.present()));
        Ok(DeleteRangeResponse { header, deleted, prev_kvs })
    }

    /// Whether a put can be done: its lease exists, and its key if it is to keep something of it.
    pub(super) fn puttable(&self, request: &PutRequest) -> Result<(), ServerError> {
        if request.lease != 0 && !self.lessor.contains(request.lease) {
            return Err(ServerError::LeaseNotFound);
        }
        let keeps = request.ignore_value || request.ignore_lease;
        if keeps && !self.store.contains(&request.key, self.store.present()) {
            return Err(ServerError::KeyNotFound);
        }
        Ok(())
    }

    /// Puts a key. Returns the one before if it is asked for.
    pub(super) fn do_put(&mut self, request: &PutRequest) -> Option<KeyValue> {
        let before = self.store.get(&request.key, self.store.present()).map(|record| record.kv());
        let old_lease = before.map_or(0, |kv| kv.lease);
        let lease = if request.ignore_lease { old_lease } else { request.lease };
        let kept = before.filter(|_| request.ignore_value).map(|kv| kv.value.to_vec());
        let prev_kv = before.filter(|_| request.prev_kv).map(|kv| kv.to_owned());
        let looks = request.prev_kv || request.ignore_value || request.ignore_lease;
        self.totals.ranges += u64::from(looks);
        self.totals.puts += 1;
        let value = kept.as_deref().unwrap_or(&request.value);
        self.totals.put_bytes += (request.key.len() + value.len()) as u64;
        self.store.put(&request.key, value, lease);
        if old_lease != lease {
            self.lessor.detach(old_lease, &request.key);
        }
        if lease != 0 {
            self.lessor.attach(lease, &request.key);
        }
        prev_kv
    }

    pub(super) fn do_delete(&mut self, request: &DeleteRangeRequest) -> (i64, Vec<KeyValue>) {
        let range = request.range();
        let found = self.store.range(&range, self.store.present());
        let mut prev_kvs = Vec::new();
        let mut keys: Vec<(Box<[u8]>, i64)> = Vec::new();
        for record in found {
            let kv = record.kv();
            keys.push((kv.key.into(), kv.lease));
            if request.prev_kv {
                prev_kvs.push(kv.to_owned());
            }
        }
        self.totals.deletions += 1;
        self.totals.ranges += u64::from(request.prev_kv);
        for (key, lease) in &keys {
            self.store.delete(key);
            self.lessor.detach(*lease, key);
        }
        (i64::try_from(keys.len()).unwrap_or(i64::MAX), prev_kvs)
    }

    /// The header of an answer within a transaction.
    pub(super) fn inner_header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.store.present(), ..ResponseHeader::default() })
    }

    pub(super) fn may_range(
        &self,
        who: Option<&Who>,
        request: &RangeRequest,
    ) -> Result<(), ServerError> {
        self.auth.check(who, Access::Read, &request.range())
    }

    /// Writing a key that belongs to a lease takes the right to write all keys of the lease, since they end together.
    pub(super) fn may_put(
        &self,
        who: Option<&Who>,
        request: &PutRequest,
    ) -> Result<(), ServerError> {
        if !self.auth.is_enabled() {
            return Ok(());
        }
        let key = request.range();
        self.auth.check(who, Access::Write, &key)?;
        if request.prev_kv {
            self.auth.check(who, Access::Read, &key)?;
        }
        if request.lease != 0 {
            self.may_write_lease(who, request.lease)?;
        }
        Ok(())
    }

    pub(super) fn may_delete(
        &self,
        who: Option<&Who>,
        request: &DeleteRangeRequest,
    ) -> Result<(), ServerError> {
        let range = request.range();
        self.auth.check(who, Access::Write, &range)?;
        if request.prev_kv {
            self.auth.check(who, Access::Read, &range)?;
        }
        Ok(())
    }

    /// Whether who asks may write every key of a lease.
    pub(super) fn may_write_lease(&self, who: Option<&Who>, lease: i64) -> Result<(), ServerError> {
        self.may_with_lease(who, lease, Access::Write)
    }

    pub(crate) fn may_with_lease(
        &self,
        who: Option<&Who>,
        lease: i64,
        access: Access,
    ) -> Result<(), ServerError> {
        if !self.auth.is_enabled() {
            return Ok(());
        }
        let mut keys = self.lessor.keys(lease);
        keys.try_for_each(|key| {
            let key = bytes::Bytes::copy_from_slice(key);
            self.auth.check(who, access, &KeyRange::single(key))
        })
    }
}
