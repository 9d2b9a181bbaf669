//! gRPC's framing of messages: one flag byte, four bytes of length, the message.
//!
//! Source: gRPC over HTTP/2, "Length-Prefixed-Message".

use bytes::{Buf, BufMut, Bytes, BytesMut};
use etcdkit_proto::WireMessage;

use crate::error::Cause;

/// Bytes in front of each message.
pub(super) const PREFIX: usize = 5;

/// Encodes `message` as one gRPC frame, in one allocation.
///
/// # Errors
///
/// [`Cause::Limit`] if it is larger than `limit` bytes.
pub fn frame(message: &impl WireMessage, limit: usize) -> Result<Bytes, Cause> {
    let length = message.encoded_len();
    if length > limit {
        return Err(Cause::Limit(format!(
            "the request has {length} bytes, and this client sends at most {limit}: raise the send limit, or send less"
        )));
    }
    let Ok(prefix) = u32::try_from(length) else {
        return Err(Cause::Limit(format!("the request has {length} bytes; gRPC ends at 4 GiB")));
    };
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    buffer.put_u32(prefix);
    message.encode_raw(&mut buffer);
    Ok(buffer.freeze())
}

/// Cuts a stream of DATA payloads into messages.
///
/// A message that came in one payload is handed out without a copy; one in pieces is gathered. At most one message is
/// held, and never more than the limit.
#[derive(Debug)]
pub(super) struct Assembler {
    pending: Pending,
    limit: usize,
}

#[derive(Debug)]
enum Pending {
    /// Bytes of one payload that were not handed out yet.
    Payload(Bytes),
    /// A message in pieces, with its prefix.
    Pieces(BytesMut),
}

impl Assembler {
    pub(super) fn new(limit: usize) -> Self {
        Self { pending: Pending::Payload(Bytes::new()), limit }
    }

    /// Takes one DATA payload.
    pub(super) fn push(&mut self, payload: Bytes) {
        match &mut self.pending {
            Pending::Payload(rest) if rest.is_empty() => *rest = payload,
            Pending::Payload(rest) => {
                let wanted = message_length(rest).unwrap_or(0).saturating_add(PREFIX);
                // Gathering grows with what arrives, not with what a peer announces.
                let mut pieces = BytesMut::with_capacity(
                    wanted.min((rest.len() + payload.len()).saturating_mul(4)),
                );
                pieces.extend_from_slice(rest);
                pieces.extend_from_slice(&payload);
                self.pending = Pending::Pieces(pieces);
            }
            Pending::Pieces(pieces) => pieces.extend_from_slice(&payload),
        }
    }

    /// The next whole message, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        let buffered: &[u8] = match &self.pending {
            Pending::Payload(rest) => rest,
            Pending::Pieces(pieces) => pieces,
        };
        let Some(&flag) = buffered.first() else { return Ok(None) };
        if flag != 0 {
            return Err(Cause::Protocol(format!(
                "the answer is compressed or no gRPC message (flag {flag}), although no compression was offered"
            )));
        }
        let Some(length) = message_length(buffered) else { return Ok(None) };
        if length > self.limit {
            return Err(Cause::Limit(format!(
                "the answer has {length} bytes, and this client receives at most {}: raise the receive limit, or ask for less",
                self.limit
            )));
        }
        if buffered.len() - PREFIX < length {
            return Ok(None);
        }
        Ok(Some(match &mut self.pending {
            Pending::Payload(rest) => {
                rest.advance(PREFIX);
                rest.split_to(length)
            }
            Pending::Pieces(pieces) => {
                let mut whole = std::mem::take(pieces).freeze();
                whole.advance(PREFIX);
                let message = whole.split_to(length);
                self.pending = Pending::Payload(whole);
                message
            }
        }))
    }

    /// Bytes that are held because their message is not whole.
    pub(super) fn held(&self) -> usize {
        match &self.pending {
            Pending::Payload(rest) => rest.len(),
            Pending::Pieces(pieces) => pieces.len(),
        }
    }
}

fn message_length(buffered: &[u8]) -> Option<usize> {
    let prefix = buffered.get(1..PREFIX)?;
    Some(prefix.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(messages: &[&[u8]]) -> Vec<u8> {
        let mut wire = Vec::new();
        for message in messages {
            wire.push(0);
            wire.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            wire.extend(*message);
        }
        wire
    }

    /// Every way to cut the wire into payloads of one size yields the same messages.
    #[test]
    fn messages_survive_any_split() {
        let messages: [&[u8]; 4] = [b"", b"a", b"hello", &[7; 300]];
        let wire = whole(&messages);
        for size in 1..=wire.len() {
            let mut assembler = Assembler::new(1000);
            let mut got = Vec::new();
            for payload in wire.chunks(size) {
                assembler.push(Bytes::copy_from_slice(payload));
                while let Some(message) = assembler.next().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, messages, "payloads of {size}");
            assert_eq!(assembler.held(), 0);
        }
    }

    #[test]
    fn a_message_in_one_payload_is_not_copied() {
        let payload = Bytes::from(whole(&[b"hello"]));
        let mut assembler = Assembler::new(10);
        assembler.push(payload.clone());
        let message = assembler.next().unwrap().unwrap();
        assert_eq!(message.as_ptr(), payload[PREFIX..].as_ptr());
    }

    #[test]
    fn an_announced_giant_is_refused_before_it_is_gathered() {
        let mut assembler = Assembler::new(10);
        assembler.push(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1]));
        let error = assembler.next().unwrap_err();
        assert!(matches!(&error, Cause::Limit(text) if text.contains("4294967295")), "{error}");
    }

    #[test]
    fn a_compressed_message_is_refused() {
        let mut assembler = Assembler::new(10);
        assembler.push(Bytes::from_static(&[1, 0, 0, 0, 1, 1]));
        assert!(matches!(assembler.next(), Err(Cause::Protocol(_))));
    }

    #[test]
    fn a_request_over_the_limit_is_refused() {
        let message = etcdkit_proto::mvccpb::KeyValue {
            value: Bytes::from_static(&[0; 100]),
            ..Default::default()
        };
        assert!(matches!(frame(&message, 99), Err(Cause::Limit(_))));
        let framed = frame(&message, 1000).unwrap();
        assert_eq!(framed[..PREFIX], [0, 0, 0, 0, 102]);
    }
}
