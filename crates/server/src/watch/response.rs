//! The bytes of watch responses and events.

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{ResponseHeader, WatchResponse};
use etcdkit_proto::mvccpb::{Event, event::EventType};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::outbox::Message;
use crate::mvcc::Record;

/// The number of the field `events` in a watch response.
const EVENTS: u32 = 11;

/// An event as it lies in every response that has it.
pub(super) fn event(record: &Record<'_>, before: Option<&Record<'_>>) -> Bytes {
    let mut out =
        Vec::with_capacity(record.message.len() + before.map_or(0, |b| b.message.len()) + 24);
    if record.key.tombstone {
        let mut event = Event::default();
        event.set_type(EventType::Delete);
        let mut kv = record.kv().to_owned();
        kv.mod_revision = record.key.revision.main;
        event.kv = Some(kv);
        // A vector grows as needed, so that encoding into it cannot fail.
        let _ = event.encode(&mut out);
    } else {
        field(2, record.message, &mut out);
    }
    if let Some(before) = before {
        field(3, before.message, &mut out);
    }
    out.into()
}

fn field(number: u32, message: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

/// Appends the response that a message stands for.
pub(crate) fn encode(message: &Message, header: &ResponseHeader, out: &mut Vec<u8>) {
    let mut response = WatchResponse::default();
    let mut revision = |of: i64| {
        response.header = Some(ResponseHeader { revision: of, ..header.clone() });
    };
    let mut encoded: &[Bytes] = &[];
    match message {
        Message::Created { watch, revision: now } => {
            revision(*now);
            response.watch_id = *watch;
            response.created = true;
        }
        Message::Refused { revision: now, reason } => {
            revision(*now);
            response.watch_id = -1;
            response.created = true;
            response.canceled = true;
            response.cancel_reason.clone_from(reason);
        }
        Message::Cancelled { watch, revision: now } => {
            revision(*now);
            response.watch_id = *watch;
            response.canceled = true;
        }
        Message::Compacted { watch, compacted } => {
            revision(0);
            response.watch_id = *watch;
            response.canceled = true;
            response.compact_revision = *compacted;
        }
        Message::Progress { watch, revision: now } => {
            revision(*now);
            response.watch_id = *watch;
        }
        Message::Events { watch, revision: now, events, fragment } => {
            revision(*now);
            response.watch_id = *watch;
            response.fragment = *fragment;
            encoded = events;
        }
    }
    let size: usize = encoded.iter().map(size_of_field).sum();
    out.reserve(response.encoded_len() + size);
    let _ = response.encode(out);
    for event in encoded {
        field(EVENTS, event, out);
    }
}

/// Bytes that an event takes in a response.
pub(super) fn size_of_field(event: &Bytes) -> usize {
    1 + encoded_len_varint(event.len() as u64) + event.len()
}
