//! The encoding of a record: the message `KeyValue`, field by field as etcd writes it.

use etcdkit_datadir::schema::KeyValueRef;
use prost::encoding::{encode_varint, encoded_len_varint};

/// Appends the message to `out`. Fields that are zero or empty are left out, as protobuf has it.
pub(super) fn encode(kv: &KeyValueRef<'_>, out: &mut Vec<u8>) {
    out.reserve(encoded_len(kv));
    bytes_field(0x0a, kv.key, out);
    int_field(0x10, kv.create_revision, out);
    int_field(0x18, kv.mod_revision, out);
    int_field(0x20, kv.version, out);
    bytes_field(0x2a, kv.value, out);
    int_field(0x30, kv.lease, out);
}

fn encoded_len(kv: &KeyValueRef<'_>) -> usize {
    let int =
        |value: i64| if value == 0 { 0 } else { 1 + encoded_len_varint(value.cast_unsigned()) };
    let bytes = |bytes: &[u8]| {
        if bytes.is_empty() { 0 } else { 1 + encoded_len_varint(bytes.len() as u64) + bytes.len() }
    };
    bytes(kv.key)
        + int(kv.create_revision)
        + int(kv.mod_revision)
        + int(kv.version)
        + bytes(kv.value)
        + int(kv.lease)
}

fn int_field(tag: u8, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(tag);
        encode_varint(value.cast_unsigned(), out);
    }
}

fn bytes_field(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.push(tag);
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn it_is_the_encoding_of_the_message() {
        let full = KeyValueRef::decode(b"\x0a\x02ab\x10\x81\x01\x18\x05\x20\x03\x2a\x01v\x30\x07")
            .unwrap();
        for kv in [KeyValueRef::default(), full] {
            let mut ours = Vec::new();
            encode(&kv, &mut ours);
            assert_eq!(ours, kv.to_owned().encode_to_vec());
            assert_eq!(ours.len(), encoded_len(&kv));
        }
    }
}
