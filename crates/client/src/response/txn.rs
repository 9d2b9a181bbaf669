//! The outcome of a transaction.

use etcdkit_proto::etcdserverpb;

use super::ResponseHeader;
use crate::error::{Error, Result};
use crate::request::OpResponse;
use crate::revision::Revision;

/// What became of a [`Txn`](crate::Txn).
///
/// ```
/// use etcdkit::{OpResponse, PutResponse, ResponseHeader, TxnResponse};
///
/// let done = [OpResponse::from(PutResponse::default())];
/// let outcome = TxnResponse::success(ResponseHeader::at(7), done);
/// assert!(outcome.succeeded());
/// assert!(outcome.responses().first().is_some_and(|answer| answer.as_put().is_some()));
/// assert!(!TxnResponse::failure(ResponseHeader::at(7), []).succeeded());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TxnResponse {
    header: ResponseHeader,
    succeeded: bool,
    responses: Vec<OpResponse>,
}

impl TxnResponse {
    /// Every condition held; `responses` answer the operations of [`Txn::then`](crate::Txn::then).
    pub fn success(
        header: ResponseHeader,
        responses: impl IntoIterator<Item = OpResponse>,
    ) -> Self {
        Self { header, succeeded: true, responses: responses.into_iter().collect() }
    }

    /// A condition did not hold; `responses` answer the operations of [`Txn::or_else`](crate::Txn::or_else).
    pub fn failure(
        header: ResponseHeader,
        responses: impl IntoIterator<Item = OpResponse>,
    ) -> Self {
        Self { header, succeeded: false, responses: responses.into_iter().collect() }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The revision of the store after the transaction: that of its writes, if it wrote. etcd leaves it out, which is 0,
    /// in the answer of a transaction within another.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.header.revision
    }

    /// Whether every condition held, so that the operations of [`Txn::then`](crate::Txn::then) were done.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// The answers to the operations that were done, in their order.
    #[must_use]
    pub fn responses(&self) -> &[OpResponse] {
        &self.responses
    }

    /// The answers to the operations that were done, in their order.
    #[must_use]
    pub fn into_responses(self) -> Vec<OpResponse> {
        self.responses
    }
}

/// Fails if an operation has no answer, which no etcd sends.
impl TryFrom<etcdserverpb::TxnResponse> for TxnResponse {
    type Error = Error;

    fn try_from(wire: etcdserverpb::TxnResponse) -> Result<Self> {
        let responses =
            wire.responses.into_iter().map(OpResponse::try_from).collect::<Result<_>>()?;
        Ok(Self { header: wire.header.into(), succeeded: wire.succeeded, responses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::{DeleteResponse, GetResponse, HeaderResponse, KeyValue, PutResponse};
    use etcdkit_proto::etcdserverpb::{
        CompactionResponse, DeleteRangeResponse, RangeResponse, ResponseOp, response_op,
    };
    use etcdkit_proto::mvccpb;

    fn header(revision: i64) -> Option<etcdserverpb::ResponseHeader> {
        Some(etcdserverpb::ResponseHeader { revision, ..Default::default() })
    }

    fn op(response: response_op::Response) -> ResponseOp {
        ResponseOp { response: Some(response) }
    }

    #[test]
    fn every_kind_of_answer_from_the_wire() {
        let kv = mvccpb::KeyValue { key: "a".into(), ..Default::default() };
        let put = etcdserverpb::PutResponse { header: header(4), prev_kv: Some(kv.clone()) };
        let delete =
            DeleteRangeResponse { header: header(4), deleted: 1, prev_kvs: vec![kv.clone()] };
        let inner = etcdserverpb::TxnResponse { header: header(4), ..Default::default() };
        let wire = etcdserverpb::TxnResponse {
            header: header(4),
            succeeded: true,
            responses: vec![
                op(response_op::Response::Range(RangeResponse::default())),
                op(response_op::Response::Put(put.clone())),
                op(response_op::Response::DeleteRange(delete.clone())),
                op(response_op::Response::Txn(inner)),
            ],
        };
        let at = ResponseHeader::at(4);
        let prev = KeyValue::new("a", "");
        let expected = TxnResponse::success(
            at,
            [
                GetResponse::default().into(),
                PutResponse::new(at).with_prev_kv(prev.clone()).into(),
                DeleteResponse::new(at, 1).with_prev_kvs([prev.clone()]).into(),
                TxnResponse::failure(at, []).into(),
            ],
        );
        assert_eq!(TxnResponse::try_from(wire).unwrap(), expected);

        assert_eq!(PutResponse::from(put).into_prev_kv(), Some(prev.clone()));
        assert_eq!(DeleteResponse::from(delete).into_prev_kvs(), [prev]);
        let compact = CompactionResponse { header: header(4) };
        assert_eq!(HeaderResponse::from(compact), HeaderResponse::new(at));
    }

    #[test]
    fn an_operation_without_an_answer_is_refused() {
        let wire = etcdserverpb::TxnResponse {
            responses: vec![ResponseOp::default()],
            ..Default::default()
        };
        assert!(TxnResponse::try_from(wire).is_err());
    }
}
