//! Transactions.

use std::cmp::Ordering;
use std::slice::Iter;

use etcdkit_datadir::schema::KeyValueRef;
use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::response_op::Response;
use etcdkit_proto::etcdserverpb::{
    Compare, DeleteRangeResponse, PutResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse,
};

use super::Selection;
use super::alarm::cost_of_txn;
use super::reads::Reads;
use crate::auth::{Access, Who};
use crate::mvcc::KeyRange;
use crate::state::State;
use crate::status::Result;

/// Which branches are taken: that of a transaction, followed by those of the transactions in it.
type Path = Vec<bool>;

/// Whether a transaction's operations are reads alone. One with another in it counts as a write, whatever that does.
pub(crate) fn is_read_only(request: &TxnRequest) -> bool {
    let mut operations = request.success.iter().chain(&request.failure);
    operations.all(|operation| matches!(operation.request, Some(Request::Range(_))))
}

/// Whether a transaction is of reads alone that need no leader.
pub(crate) fn is_serializable(request: &TxnRequest) -> bool {
    let mut operations = request.success.iter().chain(&request.failure);
    operations.all(
        |operation| matches!(&operation.request, Some(Request::Range(range)) if range.serializable),
    )
}

/// Both are for transactions that [`check_txn`](super::check_txn) finds nothing wrong with: nobody has to wait for that.
impl State {
    /// Begins a transaction of reads alone, at what was published. What it compares is compared here.
    pub(crate) fn read_txn(&self, who: Option<&Who>, request: &TxnRequest) -> Result<Reads> {
        self.may_txn(who, request)?;
        let revision = self.published();
        let (succeeded, compared) = self.compare(request, revision);
        let operations = if succeeded { &request.success } else { &request.failure };
        let ranges = operations.iter().filter_map(|operation| match &operation.request {
            Some(Request::Range(range)) => Some(range),
            _ => None,
        });
        ranges.clone().try_for_each(|range| self.check_revision(range.revision))?;
        Ok(Reads::new(self.header(revision), succeeded, compared, ranges.cloned().collect()))
    }

    /// Runs a transaction.
    pub(crate) fn txn(&mut self, who: Option<&Who>, request: &TxnRequest) -> Result<TxnResponse> {
        self.has_space(cost_of_txn(request))?;
        self.may_txn(who, request)?;
        let mut path = Path::new();
        let compared = self.decide(request, &mut path);
        self.totals.compares += compared;
        self.totals.txns += u64::from(compared > 1);
        self.check_path(request, &mut path.iter())?;
        let mut response = self.run(request, &mut path.iter());
        response.header = Some(self.header(self.store.present()));
        Ok(response)
    }

    /// Evaluates all comparisons on the way, before anything changes. Returns how many.
    fn decide(&self, request: &TxnRequest, path: &mut Path) -> u64 {
        let (succeeded, mut compared) = self.compare(request, self.store.revision());
        path.push(succeeded);
        for operation in branch(request, succeeded) {
            if let Some(Request::Txn(inner)) = &operation.request {
                compared += self.decide(inner, path);
            }
        }
        compared
    }

    /// Whether all comparisons hold, and how many it took to know.
    fn compare(&self, request: &TxnRequest, revision: i64) -> (bool, u64) {
        let mut compared = 0;
        let succeeded = request.compare.iter().all(|compare| {
            compared += 1;
            self.holds(compare, revision)
        });
        (succeeded, compared)
    }

    /// Whether every operation on the way can be done, one after the other, before anything changes.
    fn check_path(
        &self,
        request: &TxnRequest,
        path: &mut Iter<'_, bool>,
    ) -> Result<(), ServerError> {
        for operation in taken(request, path) {
            match &operation.request {
                Some(Request::Range(range)) => self.check_revision(range.revision)?,
                Some(Request::Put(put)) => self.puttable(put)?,
                Some(Request::Txn(inner)) => self.check_path(inner, path)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Within a transaction a negative revision is one that was compacted.
    fn check_revision(&self, revision: i64) -> Result<(), ServerError> {
        match revision {
            0 => Ok(()),
            _ if revision > self.store.revision() => Err(ServerError::FutureRevision),
            _ if revision < self.store.compacted() => Err(ServerError::Compacted),
            _ => Ok(()),
        }
    }

    fn run(&mut self, request: &TxnRequest, path: &mut Iter<'_, bool>) -> TxnResponse {
        let succeeded = path.next().copied().unwrap_or_default();
        let mut responses = Vec::new();
        for operation in branch(request, succeeded) {
            let response = match &operation.request {
                Some(Request::Range(range)) => {
                    self.totals.ranges += 1;
                    let at = if range.revision > 0 { range.revision } else { self.store.present() };
                    let found = Selection::find(&self.store, range, at);
                    let header = ResponseHeader {
                        revision: self.store.present(),
                        ..ResponseHeader::default()
                    };
                    Some(Response::Range(found.response(header)))
                }
                Some(Request::Put(put)) => {
                    let prev_kv = self.do_put(put);
                    Some(Response::Put(PutResponse { header: self.inner_header(), prev_kv }))
                }
                Some(Request::DeleteRange(delete)) => {
                    let (deleted, prev_kvs) = self.do_delete(delete);
                    let header = self.inner_header();
                    Some(Response::DeleteRange(DeleteRangeResponse { header, deleted, prev_kvs }))
                }
                Some(Request::Txn(inner)) => Some(Response::Txn(self.run(inner, path))),
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        // Only the outermost answer tells where the store is.
        TxnResponse { header: Some(ResponseHeader::default()), succeeded, responses }
    }

    /// Every key of the range must satisfy a comparison; none at all is judged like a key that does not exist.
    fn holds(&self, compare: &Compare, revision: i64) -> bool {
        let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
        let mut found = self.store.range(&range, revision).peekable();
        if found.peek().is_none() {
            // A value that is not there is neither equal to anything nor unequal.
            let value = CompareTarget::from_i32(compare.target) == Some(CompareTarget::Value);
            return !value && holds_for(compare, &KeyValueRef::default());
        }
        found.all(|record| holds_for(compare, &record.kv()))
    }

    /// Both branches count, whichever is taken, so that nobody learns by them what he may not read.
    fn may_txn(&self, who: Option<&Who>, request: &TxnRequest) -> Result<(), ServerError> {
        if !self.auth.is_enabled() {
            return Ok(());
        }
        for compare in &request.compare {
            let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
            self.auth.check(who, Access::Read, &range)?;
        }
        for operation in request.success.iter().chain(&request.failure) {
            match &operation.request {
                Some(Request::Range(range)) => self.may_range(who, range)?,
                Some(Request::Put(put)) => self.may_put(who, put)?,
                Some(Request::DeleteRange(delete)) => self.may_delete(who, delete)?,
                Some(Request::Txn(inner)) => self.may_txn(who, inner)?,
                None => {}
            }
        }
        Ok(())
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &request.success } else { &request.failure }
}

fn taken<'a>(request: &'a TxnRequest, path: &mut Iter<'_, bool>) -> &'a [RequestOp] {
    branch(request, path.next().copied().unwrap_or_default())
}

fn holds_for(compare: &Compare, kv: &KeyValueRef<'_>) -> bool {
    let union = compare.target_union.as_ref();
    // What is not given is 0, or empty.
    let number = |have: i64, given: Option<i64>| have.cmp(&given.unwrap_or_default());
    let order = match CompareTarget::from_i32(compare.target) {
        Some(CompareTarget::Value) => kv.value.cmp(match union {
            Some(TargetUnion::Value(value)) => value.as_ref(),
            _ => &[],
        }),
        Some(CompareTarget::Create) => number(
            kv.create_revision,
            match union {
                Some(TargetUnion::CreateRevision(given)) => Some(*given),
                _ => None,
            },
        ),
        Some(CompareTarget::Mod) => number(
            kv.mod_revision,
            match union {
                Some(TargetUnion::ModRevision(given)) => Some(*given),
                _ => None,
            },
        ),
        Some(CompareTarget::Version) => number(
            kv.version,
            match union {
                Some(TargetUnion::Version(given)) => Some(*given),
                _ => None,
            },
        ),
        Some(CompareTarget::Lease) => number(
            kv.lease,
            match union {
                Some(TargetUnion::Lease(given)) => Some(*given),
                _ => None,
            },
        ),
        // etcd takes what it does not know for equal.
        None => Ordering::Equal,
    };
    match CompareResult::from_i32(compare.result) {
        Some(CompareResult::Equal) => order == Ordering::Equal,
        Some(CompareResult::NotEqual) => order != Ordering::Equal,
        Some(CompareResult::Greater) => order == Ordering::Greater,
        Some(CompareResult::Less) => order == Ordering::Less,
        None => true,
    }
}
