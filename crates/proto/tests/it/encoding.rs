//! Bytes computed by hand, and what a decoder must put up with.

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{
    AlarmType, Compare, LeaseTimeToLiveResponse, Metadata, RangeRequest, RequestOp, ResponseHeader,
    TxnRequest, WatchCreateRequest, WatchRequest, compare, range_request, request_op,
    watch_create_request::FilterType, watch_request,
};
use etcdkit_proto::mvccpb::{Event, KeyValue, event::EventType};
use etcdkit_proto::raftpb::{ConfState, Message as RaftMessage, MessageType};
use prost::Message;

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: M, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes, "{message:?}");
    assert_eq!(message.encoded_len(), bytes.len(), "{message:?}");
    assert_eq!(M::decode(bytes).unwrap(), message);
}

#[test]
fn scalars() {
    let mut range = RangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        limit: 300,
        serializable: true,
        ..Default::default()
    };
    range.set_sort_target(range_request::SortTarget::Mod);
    check(range, b"\x0a\x01a\x12\x01b\x18\xac\x02\x30\x03\x38\x01");
    let header = ResponseHeader { member_id: u64::MAX, ..Default::default() };
    check(header, b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    check(RangeRequest::default(), b"");
}

#[test]
fn negative_numbers_take_ten_bytes() {
    let response = LeaseTimeToLiveResponse { id: i64::MIN, ttl: -1, ..Default::default() };
    let bytes =
        b"\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    check(response, bytes);
}

#[test]
fn nested_messages_and_enums() {
    let mut event = Event {
        kv: Some(KeyValue { key: "k".into(), mod_revision: 5, ..Default::default() }),
        ..Default::default()
    };
    event.set_type(EventType::Delete);
    check(event, b"\x08\x01\x12\x05\x0a\x01k\x18\x05");
    check(Event { prev_kv: Some(KeyValue::default()), ..Default::default() }, b"\x1a\x00");
}

#[test]
fn oneofs_are_present_even_with_the_default_value() {
    let compare = Compare {
        key: "k".into(),
        target_union: Some(compare::TargetUnion::Version(0)),
        range_end: "z".into(),
        ..Default::default()
    };
    check(compare, b"\x1a\x01k\x20\x00\x82\x04\x01z");
    let nested = RequestOp { request: Some(request_op::Request::Txn(TxnRequest::default())) };
    check(TxnRequest { failure: vec![nested], ..Default::default() }, b"\x1a\x02\x22\x00");
}

#[test]
fn repeated_enums_are_packed_and_read_either_way() {
    let create = WatchCreateRequest { key: "k".into(), filters: vec![0, 1], ..Default::default() };
    let filters: Vec<_> = create.filters().collect();
    assert_eq!(filters, [FilterType::NoPut, FilterType::NoDelete]);
    let unpacked = WatchCreateRequest::decode(b"\x0a\x01k\x28\x00\x28\x01".as_slice()).unwrap();
    assert_eq!(unpacked, create);
    let request = WatchRequest { request_union: Some(watch_request::RequestUnion::Create(create)) };
    check(request, b"\x0a\x07\x0a\x01k\x2a\x02\x00\x01");
}

#[test]
fn proto2_fields_know_whether_they_are_there() {
    check(Metadata { node_id: Some(0), cluster_id: None }, b"\x08\x00");
    check(Metadata { node_id: None, cluster_id: Some(1) }, b"\x10\x01");
    check(ConfState { voters: vec![1, 2], ..Default::default() }, b"\x08\x01\x08\x02");
    let mut message = RaftMessage::default();
    message.set_type(MessageType::Hup);
    check(message, b"\x08\x00");
}

#[test]
fn unknown_enum_values_survive() {
    let bytes = b"\x28\x63".as_slice();
    let request = RangeRequest::decode(bytes).unwrap();
    assert_eq!(request.sort_order, 99);
    assert_eq!(request.sort_order(), range_request::SortOrder::None);
    assert_eq!(request.encode_to_vec(), bytes);
    assert_eq!(AlarmType::from_i32(99), None);
    assert_eq!(AlarmType::try_from(99).map_err(|error| error.0), Err(99));
    assert_eq!(AlarmType::try_from(1), Ok(AlarmType::NoSpace));
    assert_eq!(AlarmType::NoSpace.as_str_name(), "NOSPACE");
    assert!(AlarmType::NoSpace < AlarmType::Corrupt);
}

#[test]
fn unknown_fields_are_skipped() {
    // Numbers 100 to 104 as varint, 64 bits, bytes, group and 32 bits.
    let unknown = b"\xa0\x06\x01\xa9\x06abcdefgh\xb2\x06\x02xy\xbb\x06\x08\x01\xbc\x06\xc5\x06abcd";
    let bytes = [b"\x0a\x01a", unknown.as_slice(), b"\x18\x05"].concat();
    let decoded = RangeRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(decoded, RangeRequest { key: "a".into(), limit: 5, ..Default::default() });
}

#[test]
fn the_last_of_a_oneof_counts_and_pieces_of_a_message_are_joined() {
    // Version 1, then mod_revision 2.
    let compare = Compare::decode(b"\x20\x01\x30\x02".as_slice()).unwrap();
    assert_eq!(compare.target_union, Some(compare::TargetUnion::ModRevision(2)));
    // A range in two pieces: its key, then its limit.
    let op = RequestOp::decode(b"\x0a\x03\x0a\x01a\x0a\x02\x18\x05".as_slice()).unwrap();
    let range = RangeRequest { key: "a".into(), limit: 5, ..Default::default() };
    assert_eq!(op.request, Some(request_op::Request::Range(range)));
}

#[test]
fn errors_tell_the_field() {
    let error = TxnRequest::decode(b"\x12\x04\x0a\x02\x18\xff".as_slice()).unwrap_err();
    let field = "RangeRequest.limit: RequestOp.request: TxnRequest.success: invalid varint";
    assert!(error.to_string().contains(field), "{error}");
}

#[test]
fn bytes_share_the_buffer_that_they_came_from() {
    let buffer = Bytes::from_static(b"\x0a\x03key");
    let kv = KeyValue::decode(buffer.clone()).unwrap();
    assert_eq!(kv.key.as_ptr(), buffer[2..].as_ptr());
}

/// A transaction in a transaction, so many deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        // As field 4 (txn) of an operation, in field 2 (success) of a transaction.
        for tag in [0x22, 0x12] {
            let mut outer = vec![tag];
            prost::encode_length_delimiter(bytes.len(), &mut outer).unwrap();
            outer.append(&mut bytes);
            bytes = outer;
        }
    }
    bytes
}

#[test]
fn deep_nesting_is_refused() {
    let shallow = nested(40);
    assert_eq!(TxnRequest::decode(shallow.as_slice()).unwrap().encode_to_vec(), shallow);
    for depth in [60, 20_000] {
        let error = TxnRequest::decode(nested(depth).as_slice()).unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{depth}");
    }
    // Groups open without end in a field that nobody knows.
    let groups = [0xbb, 0x06].repeat(20_000);
    let error = TxnRequest::decode(groups.as_slice()).unwrap_err();
    assert!(error.to_string().contains("recursion limit"));
}
