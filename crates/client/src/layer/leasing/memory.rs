//! What a server would answer, of keys that are owned. Without I/O.

use super::table::Table;
use crate::request::{Get, KeyRange, Op, OpResponse, Txn};
use crate::response::{GetResponse, KeyValue, ResponseHeader, TxnResponse};

/// The answer to a read of one key, which is `kv`.
pub(super) fn get(get: &Get, kv: Option<KeyValue>, header: ResponseHeader) -> GetResponse {
    let count = u64::from(kv.is_some());
    let shown = kv.filter(|kv| !get.is_count_only() && get.admits(kv));
    let shown = shown.map(|kv| if get.is_keys_only() { lean(&kv) } else { kv });
    GetResponse::new(header, shown).with_count(count)
}

fn lean(kv: &KeyValue) -> KeyValue {
    KeyValue::new(kv.key_bytes(), "")
        .with_revisions(kv.create_revision(), kv.mod_revision())
        .with_version(kv.version())
}

/// The answer to a transaction, if it writes nothing on the way that it goes and is about owned keys alone.
pub(super) fn txn(txn: &Txn, table: &Table, header: ResponseHeader) -> Option<TxnResponse> {
    let mut succeeded = true;
    for compare in txn.compares() {
        succeeded &= compare.holds(read(&compare.key_range(), table)?.as_ref());
    }
    Some(if succeeded {
        TxnResponse::success(header, all(txn.success(), table, header)?)
    } else {
        TxnResponse::failure(header, all(txn.failure(), table, header)?)
    })
}

fn all(
    mut ops: impl Iterator<Item = Op>,
    table: &Table,
    header: ResponseHeader,
) -> Option<Vec<OpResponse>> {
    let mut answers = Vec::new();
    ops.try_for_each(|op| {
        answers.push(match op {
            Op::Get(one) if one.revision().is_none() => {
                get(&one, read(&one.key_range(), table)?, header).into()
            }
            Op::Txn(inner) => txn(&inner, table, header)?.into(),
            Op::Get(_) | Op::Put(_) | Op::Delete(_) => return None,
        });
        Some(())
    })?;
    Some(answers)
}

/// The key of a range of one key, if it is owned: `Some(None)` if there is no such key.
fn read(range: &KeyRange, table: &Table) -> Option<Option<KeyValue>> {
    if range.is_single_key() { table.read(range.start()) } else { None }
}
