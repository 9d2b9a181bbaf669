//! Several operations at once, under conditions.

use std::fmt;

use etcdkit_proto::etcdserverpb::{self, RequestOp, TxnRequest, request_op};
use etcdkit_proto::method::{self, Class, Method, Patience};

use super::range::check_key;
use super::{Compare, Op};
use crate::error::{Error, Result};
use crate::response::TxnResponse;
use crate::transport::Unary;

/// A transaction: if every condition holds it does one list of operations, else another, and nothing comes between.
///
/// Whatever is left out is empty; without conditions the operations of [`then`](Self::then) are done. Each of the three
/// may be given several times, which adds to what was given before. All writes of a transaction share one revision, and
/// none may write a key that another of the same list writes.
///
/// ```
/// use etcdkit::{Compare, Get, Op, Put, Txn};
///
/// let create = Txn::new()
///     .when([Compare::missing("/leader")])
///     .then([Put::new("/leader", "me")])
///     .or_else([Get::new("/leader")]);
/// assert!(!create.is_read_only());
/// assert_eq!(create.failure().next(), Some(Op::Get(Get::new("/leader"))));
///
/// // Operations of different kinds, in one list: make them `Op`s, or add them one after the other.
/// let mixed = Txn::new().then([Op::from(Put::new("/a", "1")), Get::new("/b").into()]);
/// assert_eq!(mixed, Txn::new().then([Put::new("/a", "1")]).then([Get::new("/b")]));
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Txn(TxnRequest);

impl Txn {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds conditions, all of which have to hold.
    #[must_use]
    pub fn when(mut self, conditions: impl IntoIterator<Item = impl Into<Compare>>) -> Self {
        self.0.compare.extend(conditions.into_iter().map(|compare| compare.into().into_wire()));
        self
    }

    /// Adds operations that are done if every condition holds.
    #[must_use]
    pub fn then(mut self, operations: impl IntoIterator<Item = impl Into<Op>>) -> Self {
        self.0.success.extend(operations.into_iter().map(|op| op.into().into_wire()));
        self
    }

    /// Adds operations that are done if a condition does not hold.
    #[must_use]
    pub fn or_else(mut self, operations: impl IntoIterator<Item = impl Into<Op>>) -> Self {
        self.0.failure.extend(operations.into_iter().map(|op| op.into().into_wire()));
        self
    }

    /// The conditions.
    pub fn compares(&self) -> impl Iterator<Item = Compare> + '_ {
        self.0.compare.iter().cloned().map(Compare::from_wire)
    }

    /// The operations that are done if every condition holds.
    pub fn success(&self) -> impl Iterator<Item = Op> + '_ {
        self.0.success.iter().cloned().filter_map(Op::from_wire)
    }

    /// The operations that are done if a condition does not hold.
    pub fn failure(&self) -> impl Iterator<Item = Op> + '_ {
        self.0.failure.iter().cloned().filter_map(Op::from_wire)
    }

    /// Whether it writes nothing, whichever way it goes; transactions within it included.
    ///
    /// Such a transaction may be repeated freely.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        !writes(&self.0)
    }

    pub(super) fn from_wire(wire: TxnRequest) -> Self {
        Self(wire)
    }

    pub(super) fn into_wire(self) -> TxnRequest {
        self.0
    }
}

fn writes(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(request_op::Request::Put(_) | request_op::Request::DeleteRange(_)) => true,
        Some(request_op::Request::Txn(inner)) => writes(inner),
        Some(request_op::Request::Range(_)) | None => false,
    })
}

/// Refuses empty keys, wherever they are; `path` leads to `txn`.
fn check(txn: &TxnRequest, path: &str) -> Result<()> {
    let named = |list: &str, index: usize, checked: Result<()>| {
        checked.map_err(|error| Error::invalid(format!("{path}{list}[{index}]: {error}")))
    };
    for (index, compare) in txn.compare.iter().enumerate() {
        named("when", index, check_key(&compare.key))?;
    }
    for (list, operations) in [("then", &txn.success), ("or_else", &txn.failure)] {
        for (index, op) in operations.iter().enumerate() {
            let key = match &op.request {
                Some(request_op::Request::Range(get)) => &get.key,
                Some(request_op::Request::Put(put)) => &put.key,
                Some(request_op::Request::DeleteRange(delete)) => &delete.key,
                Some(request_op::Request::Txn(inner)) => {
                    check(inner, &format!("{path}{list}[{index}]."))?;
                    continue;
                }
                None => continue,
            };
            named(list, index, check_key(key))?;
        }
    }
    Ok(())
}

struct List<'a>(&'a [RequestOp]);

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().cloned().filter_map(Op::from_wire)).finish()
    }
}

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn")
            .field("when", &self.compares().collect::<Vec<_>>())
            .field("then", &List(&self.0.success))
            .field("or_else", &List(&self.0.failure))
            .finish()
    }
}

impl Unary for Txn {
    type Wire = TxnRequest;
    type Answer = etcdserverpb::TxnResponse;
    const METHOD: Method<TxnRequest, etcdserverpb::TxnResponse> = method::kv::TXN;

    fn wire(&self) -> &TxnRequest {
        &self.0
    }

    fn check(&self) -> Result<()> {
        check(&self.0, "")
    }

    fn class(&self) -> Class {
        if self.is_read_only() { Class::Read } else { Self::METHOD.class() }
    }

    fn patience(&self) -> Patience {
        if self.is_read_only() { Patience::Read } else { Self::METHOD.patience() }
    }

    /// A member answers a transaction from its own state, which may lag behind, if no operation needs more: if each is a
    /// serializable get, or if there is none.
    fn linearizable(&self) -> bool {
        let mut ops = self.0.success.iter().chain(&self.0.failure);
        ops.any(
            |op| !matches!(&op.request, Some(request_op::Request::Range(get)) if get.serializable),
        )
    }

    fn decode(answer: etcdserverpb::TxnResponse) -> Result<TxnResponse> {
        answer.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::request::{Delete, Get, KeyRange, Put};

    fn inner(op: impl Into<Op>) -> Txn {
        Txn::new().or_else([Txn::new().then([op.into()])])
    }

    #[test]
    fn wire_form() {
        let txn = Txn::new()
            .when([Compare::exists("a"), Compare::value("b").eq("1")])
            .when(Some(Compare::missing("c")))
            .then(vec![Put::new("a", "2")])
            .then([inner(Get::new("d"))])
            .or_else([Get::new("a")]);
        let op = |op: Op| op.into_wire();
        let expected = TxnRequest {
            compare: vec![
                Compare::exists("a").into_wire(),
                Compare::value("b").eq("1").into_wire(),
                Compare::missing("c").into_wire(),
            ],
            success: vec![op(Put::new("a", "2").into()), op(inner(Get::new("d")).into())],
            failure: vec![op(Get::new("a").into())],
        };
        assert_eq!(txn.wire(), &expected);
        txn.check().unwrap();

        // Taken apart and put together again: what a layer does.
        let same = Txn::new().when(txn.compares()).then(txn.success()).or_else(txn.failure());
        assert_eq!(same, txn);
    }

    #[test]
    fn what_writes_is_a_write() {
        let table = [
            (Txn::new(), Class::Read),
            (Txn::new().when([Compare::exists("a")]), Class::Read),
            (Txn::new().then([Get::new("a")]).or_else([Get::new("b")]), Class::Read),
            (inner(Get::new("a")), Class::Read),
            (Txn::new().then([Put::new("a", "1")]), Class::Write),
            (Txn::new().or_else([Delete::new("a")]), Class::Write),
            (inner(Put::new("a", "1")), Class::Write),
            (inner(Delete::new("a")), Class::Write),
            (inner(inner(inner(Delete::new("a")))), Class::Write),
        ];
        for (txn, class) in table {
            assert_eq!(txn.class(), class, "{txn:?}");
            assert_eq!(txn.is_read_only(), class == Class::Read, "{txn:?}");
        }
    }

    #[test]
    fn an_empty_key_is_refused_by_its_place() {
        let table = [
            (Txn::new().when([Compare::exists("a"), Compare::exists("")]), "when[1]: "),
            (Txn::new().then([Get::new("")]), "then[0]: "),
            (Txn::new().then([Put::new("a", ""), Put::new("", "a")]), "then[1]: "),
            (Txn::new().or_else([Delete::new(KeyRange::range("a", ""))]), "or_else[0]: "),
            (Txn::new().then([inner(Get::new(""))]), "then[0].or_else[0].then[0]: "),
        ];
        for (txn, place) in table {
            let error = txn.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().starts_with(place), "{error}");
        }
        Txn::new().then([Get::all()]).check().unwrap();
    }

    #[test]
    fn shown_as_written() {
        let txn = Txn::new().when([Compare::exists("a")]).then([Get::new("a")]);
        let shown = r#"Txn { when: [Compare(version(b"a") > 0)], then: [Get(b"a")], or_else: [] }"#;
        assert_eq!(format!("{txn:?}"), shown);
    }
}
