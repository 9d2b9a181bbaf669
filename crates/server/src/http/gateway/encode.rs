//! From the wire to JSON.

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::message::{Field, Kind, fields};
use super::schema::ENUMS;
use crate::base64;

/// Messages within messages. Transactions are nested no deeper than requests may be.
const DEPTH: usize = 128;

/// Appends a message as a JSON object, fields in the order of their numbers. What is not on the wire is not in the object.
///
/// # Errors
///
/// `None` when it is no message of that kind.
pub(super) fn message(number: usize, wire: &[u8], out: &mut String) -> Option<()> {
    nested(number, wire, out, DEPTH)
}

fn nested(number: usize, wire: &[u8], out: &mut String, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let found = parse(wire)?;
    out.push('{');
    let mut first = true;
    for field in fields(number) {
        let mut values = found.iter().filter(|(number, _)| *number == field.number);
        let Some(&(_, mut value)) = values.next() else { continue };
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        string(field.name, out);
        out.push(':');
        if field.repeated {
            out.push('[');
            single(field, value, out, depth)?;
            for (_, value) in values {
                out.push(',');
                single(field, *value, out, depth)?;
            }
            out.push(']');
        } else {
            // Of one that comes twice, the last counts.
            value = values.next_back().map_or(value, |(_, last)| *last);
            single(field, value, out, depth)?;
        }
    }
    out.push('}');
    Some(())
}

#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message. All of etcd's are of two wire types.
fn parse(mut wire: &[u8]) -> Option<Vec<(u32, Wire<'_>)>> {
    let mut found = Vec::new();
    while wire.has_remaining() {
        let (number, kind) = decode_key(&mut wire).ok()?;
        let value = match kind {
            WireType::Varint => Wire::Varint(decode_varint(&mut wire).ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut wire).ok()?).ok()?;
                let (bytes, rest) = wire.split_at_checked(length)?;
                wire = rest;
                Wire::Bytes(bytes)
            }
            _ => return None,
        };
        found.push((number, value));
    }
    Some(found)
}

fn single(field: &Field, value: Wire<'_>, out: &mut String, depth: usize) -> Option<()> {
    match (field.kind, value) {
        (Kind::Bytes, Wire::Bytes(bytes)) => {
            out.push('"');
            base64::encode(bytes, out);
            out.push('"');
        }
        (Kind::String, Wire::Bytes(bytes)) => string(std::str::from_utf8(bytes).ok()?, out),
        (Kind::Message(inner), Wire::Bytes(bytes)) => nested(inner, bytes, out, depth)?,
        (Kind::Bool, Wire::Varint(value)) => {
            out.push_str(if value == 0 { "false" } else { "true" })
        }
        // JavaScript's numbers have 53 bits: those of 64 are strings.
        (Kind::Int64, Wire::Varint(value)) => out.push_str(&format!("\"{}\"", value.cast_signed())),
        (Kind::Uint64, Wire::Varint(value)) => out.push_str(&format!("\"{value}\"")),
        (Kind::Uint32, Wire::Varint(value)) => out.push_str(&(value as u32).to_string()),
        (Kind::Enum(names), Wire::Varint(value)) => {
            let value = value as i32;
            let names = ENUMS.get(names).copied().unwrap_or_default();
            match names.iter().find(|(number, _)| *number == value) {
                Some((_, name)) => string(name, out),
                None => out.push_str(&value.to_string()),
            }
        }
        _ => return None,
    }
    Some(())
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
