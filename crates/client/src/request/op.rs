//! What a transaction is made of.

use std::fmt;

use etcdkit_proto::etcdserverpb::{RequestOp, ResponseOp, request_op, response_op};

use super::{Delete, Get, Put, Txn};
use crate::error::{Error, Result};
use crate::response::{DeleteResponse, GetResponse, PutResponse, TxnResponse};
use crate::service::CallOptions;
use crate::transport::{Channel, Transport};

/// One operation of a transaction; also a request of its own, for code that decides which one at run time.
///
/// ```
/// use etcdkit::{Delete, Get, Op, Put, Txn};
///
/// let swap = Txn::new().then([Op::from(Put::new("/new", "1")), Delete::new("/old").into()]);
/// assert_eq!(swap.success().count(), 2);
/// assert_eq!(Op::from(Get::new("/a")), Op::Get(Get::new("/a")));
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// A read.
    Get(Get),
    /// A write.
    Put(Put),
    /// A deletion.
    Delete(Delete),
    /// A transaction within the transaction.
    Txn(Txn),
}

/// The answer to an [`Op`], of the same kind.
///
/// ```
/// use etcdkit::{OpResponse, PutResponse};
///
/// let answer = OpResponse::from(PutResponse::default());
/// assert!(answer.as_get().is_none());
/// assert!(answer.into_put().is_some());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OpResponse {
    /// What was read.
    Get(GetResponse),
    /// A key was written.
    Put(PutResponse),
    /// Keys were deleted.
    Delete(DeleteResponse),
    /// The outcome of the inner transaction.
    Txn(TxnResponse),
}

impl Op {
    pub(super) fn into_wire(self) -> RequestOp {
        let request = match self {
            Self::Get(get) => request_op::Request::Range(get.into_wire()),
            Self::Put(put) => request_op::Request::Put(put.into_wire()),
            Self::Delete(delete) => request_op::Request::DeleteRange(delete.into_wire()),
            Self::Txn(txn) => request_op::Request::Txn(txn.into_wire()),
        };
        RequestOp { request: Some(request) }
    }

    /// `None` for an operation without content, which nothing in this crate makes.
    pub(super) fn from_wire(wire: RequestOp) -> Option<Self> {
        Some(match wire.request? {
            request_op::Request::Range(get) => Self::Get(get.into()),
            request_op::Request::Put(put) => Self::Put(Put::from_wire(put)),
            request_op::Request::DeleteRange(delete) => Self::Delete(Delete::from_wire(delete)),
            request_op::Request::Txn(txn) => Self::Txn(Txn::from_wire(txn)),
        })
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(get) => get.fmt(f),
            Self::Put(put) => put.fmt(f),
            Self::Delete(delete) => delete.fmt(f),
            Self::Txn(txn) => txn.fmt(f),
        }
    }
}

macro_rules! kinds {
    ($($kind:ident, $response:ident, $as:ident, $into:ident;)*) => {
        $(
            impl From<$kind> for Op {
                fn from(request: $kind) -> Self {
                    Self::$kind(request)
                }
            }

            impl From<$response> for OpResponse {
                fn from(response: $response) -> Self {
                    Self::$kind(response)
                }
            }
        )*

        impl OpResponse {
            $(
                #[doc = concat!("The answer to a [`", stringify!($kind), "`]; `None` if it was another operation.")]
                #[must_use]
                pub fn $as(&self) -> Option<&$response> {
                    match self {
                        Self::$kind(response) => Some(response),
                        _ => None,
                    }
                }

                #[doc = concat!("The answer to a [`", stringify!($kind), "`]; `None` if it was another operation.")]
                #[must_use]
                pub fn $into(self) -> Option<$response> {
                    match self {
                        Self::$kind(response) => Some(response),
                        _ => None,
                    }
                }
            )*
        }
    };
}

kinds! {
    Get, GetResponse, as_get, into_get;
    Put, PutResponse, as_put, into_put;
    Delete, DeleteResponse, as_delete, into_delete;
    Txn, TxnResponse, as_txn, into_txn;
}

impl TryFrom<ResponseOp> for OpResponse {
    type Error = Error;

    fn try_from(wire: ResponseOp) -> Result<Self> {
        match wire.response {
            Some(response_op::Response::Range(response)) => Ok(Self::Get(response.into())),
            Some(response_op::Response::Put(response)) => Ok(Self::Put(response.into())),
            Some(response_op::Response::DeleteRange(response)) => Ok(Self::Delete(response.into())),
            Some(response_op::Response::Txn(response)) => response.try_into().map(Self::Txn),
            None => Err(Error::internal("an operation of the transaction has no answer")),
        }
    }
}

/// Sends the operation by itself.
pub(crate) async fn execute<T: Transport>(
    channel: &Channel<T>,
    op: Op,
    options: &CallOptions,
) -> Result<OpResponse> {
    match op {
        Op::Get(get) => channel.unary(get, options).await.map(OpResponse::Get),
        Op::Put(put) => channel.unary(put, options).await.map(OpResponse::Put),
        Op::Delete(delete) => channel.unary(delete, options).await.map(OpResponse::Delete),
        Op::Txn(txn) => channel.unary(txn, options).await.map(OpResponse::Txn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn through_the_wire_and_back() {
        let ops: [Op; 4] = [
            Get::prefix("a").limit(2).into(),
            Put::new("a", "1").prev_kv().into(),
            Delete::new("a").into(),
            Txn::new().then([Get::new("a")]).into(),
        ];
        for op in ops {
            assert_eq!(Op::from_wire(op.clone().into_wire()), Some(op));
        }
        assert_eq!(Op::from_wire(RequestOp::default()), None);
    }

    #[test]
    fn an_answer_is_of_one_kind() {
        let answer = OpResponse::from(DeleteResponse::default());
        assert!(answer.as_delete().is_some());
        assert!(
            answer.as_get().is_none() && answer.as_put().is_none() && answer.as_txn().is_none()
        );
        assert_eq!(answer.clone().into_txn(), None);
        assert_eq!(answer.into_delete(), Some(DeleteResponse::default()));
        assert!(OpResponse::try_from(ResponseOp::default()).is_err());
    }
}
