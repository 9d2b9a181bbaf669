//! Generated messages come back as they were, and no bytes bring the decoder down.

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, InternalRaftRequest, Metadata, PutRequest, RangeRequest,
    RequestOp, ResponseHeader, StatusResponse, TxnRequest, TxnResponse, WatchResponse, compare,
    request_op,
};
use etcdkit_proto::mvccpb::{Event, KeyValue};
use etcdkit_proto::raftpb;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

fn bytes() -> impl Strategy<Value = Bytes> + Clone {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn key_value() -> impl Strategy<Value = KeyValue> {
    (bytes(), bytes(), any::<[i64; 4]>()).prop_map(
        |(key, value, [create_revision, mod_revision, version, lease])| KeyValue {
            key,
            create_revision,
            mod_revision,
            version,
            value,
            lease,
        },
    )
}

fn watch_response() -> impl Strategy<Value = WatchResponse> {
    let event = (any::<i32>(), option::of(key_value()), option::of(key_value()))
        .prop_map(|(r#type, kv, prev_kv)| Event { r#type, kv, prev_kv });
    let header = (any::<[u64; 3]>(), any::<i64>()).prop_map(
        |([cluster_id, member_id, raft_term], revision)| ResponseHeader {
            cluster_id,
            member_id,
            revision,
            raft_term,
        },
    );
    (option::of(header), any::<[i64; 2]>(), any::<[bool; 3]>(), ".*", vec(event, 0..4)).prop_map(
        |(header, [watch_id, compact_revision], flags, cancel_reason, events)| WatchResponse {
            header,
            watch_id,
            created: flags[0],
            canceled: flags[1],
            compact_revision,
            cancel_reason,
            fragment: flags[2],
            events,
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        any::<i64>().prop_map(compare::TargetUnion::Version),
        any::<i64>().prop_map(compare::TargetUnion::CreateRevision),
        any::<i64>().prop_map(compare::TargetUnion::ModRevision),
        bytes().prop_map(compare::TargetUnion::Value),
        any::<i64>().prop_map(compare::TargetUnion::Lease),
    ];
    (any::<[i32; 2]>(), bytes(), option::of(target), bytes()).prop_map(
        |([result, target], key, target_union, range_end)| Compare {
            result,
            target,
            key,
            target_union,
            range_end,
        },
    )
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        (bytes(), any::<i64>(), any::<bool>()).prop_map(|(key, limit, keys_only)| {
            request_op::Request::Range(RangeRequest { key, limit, keys_only, ..Default::default() })
        }),
        (bytes(), bytes(), any::<i64>()).prop_map(|(key, value, lease)| {
            request_op::Request::Put(PutRequest { key, value, lease, ..Default::default() })
        }),
        (bytes(), bytes(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| {
            request_op::Request::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv })
        }),
    ];
    let op = leaf
        .prop_recursive(4, 24, 4, |inner| transaction(inner).prop_map(request_op::Request::Txn));
    transaction(op)
}

fn transaction(
    op: impl Strategy<Value = request_op::Request> + Clone,
) -> impl Strategy<Value = TxnRequest> {
    let ops = vec(option::of(op).prop_map(|request| RequestOp { request }), 0..3);
    (vec(compare(), 0..3), ops.clone(), ops).prop_map(|(compare, success, failure)| TxnRequest {
        compare,
        success,
        failure,
    })
}

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(
    message: &M,
) -> Result<(), TestCaseError> {
    let bytes = message.encode_to_vec();
    prop_assert_eq!(bytes.len(), message.encoded_len());
    prop_assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
    // Whatever is cut off, the rest is an error or another message, never a panic.
    for end in 0..bytes.len() {
        let _ = M::decode(&bytes[..end]);
    }
    Ok(())
}

proptest! {
    #[test]
    fn watch_responses(message in watch_response()) {
        check(&message)?;
    }

    #[test]
    fn transactions(message in txn()) {
        check(&message)?;
    }

    #[test]
    fn proto2_messages(
        ids in any::<[Option<u64>; 2]>(),
        numbers in any::<[Option<u64>; 2]>(),
        kind in any::<Option<i32>>(),
        data in option::of(bytes()),
        voters in any::<Vec<u64>>(),
        auto_leave in any::<Option<bool>>(),
    ) {
        check(&Metadata { node_id: ids[0], cluster_id: ids[1] })?;
        check(&raftpb::Entry { term: numbers[0], index: numbers[1], r#type: kind, data })?;
        check(&raftpb::ConfState { voters, auto_leave, ..Default::default() })?;
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        let _ = TxnRequest::decode(bytes.as_slice());
        let _ = TxnResponse::decode(bytes.as_slice());
        let _ = WatchResponse::decode(bytes.as_slice());
        let _ = StatusResponse::decode(bytes.as_slice());
        let _ = InternalRaftRequest::decode(bytes.as_slice());
        let _ = raftpb::Message::decode(bytes.as_slice());
    }

    /// Closer to the real thing than random bytes: a message with one byte changed.
    #[test]
    fn flipped_bytes_do_no_harm(message in txn(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = message.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(decoded) = TxnRequest::decode(bytes.as_slice()) {
                check(&decoded)?;
            }
        }
    }
}
